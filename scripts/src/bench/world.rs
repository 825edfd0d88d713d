//! Who is where in a run: users, rooms and members, by their numbers.

use bench::plan::Seat;

use super::{house::House, token::Tokens};

use anyhow::Result;

/// Rooms and who is in them: user `r * members + m` is member `m` of room `r`.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Keeps the rooms of different scenarios apart.
    pub(super) first_room: usize,
    pub(super) rooms: usize,
    pub(super) members: usize,
    /// The members that send, counted from the first.
    pub(super) senders: usize,
    /// Gateways over which the members are spread.
    pub(super) targets: usize,
}

pub(super) fn user_id(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

pub(super) fn session_id(number: usize) -> String {
    format!("00000000-0000-7000-a000-{number:012x}")
}

pub(super) fn room_id(number: usize) -> String {
    format!("00000000-0000-7000-9000-{number:012x}")
}

impl World {
    /// Writes users, rooms and members to the product's database; what is there stays.
    pub(super) fn settle(&self, house: &House) -> Result<()> {
        let Self { first_room, rooms, members, .. } = self;
        let last = (rooms * members).saturating_sub(1);
        let last_room = rooms.saturating_sub(1);
        let user = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid";
        let room = format!("('00000000-0000-7000-9000-' || lpad(to_hex({first_room} + n / {members}), 12, '0'))::uuid");
        house.psql(&format!(
            "INSERT INTO users (id, display_name, created_at, updated_at)
               SELECT {user}, 'User ' || n, now(), now() FROM generate_series(0, {last}) n ON CONFLICT DO NOTHING;
             INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
               SELECT ('00000000-0000-7000-9000-' || lpad(to_hex({first_room} + n), 12, '0'))::uuid, 'team', 'Room',
                      '{owner}', now(), now() FROM generate_series(0, {last_room}) n ON CONFLICT DO NOTHING;
             INSERT INTO room_members (room_id, user_id, joined_at)
               SELECT {room}, {user}, now() FROM generate_series(0, {last}) n ON CONFLICT DO NOTHING;
             ANALYZE users; ANALYZE rooms; ANALYZE room_members;",
            owner = user_id(0),
        ))
    }

    /// One socket for each member.
    pub(super) fn seats(&self, tokens: &mut Tokens) -> Result<Vec<Seat>> {
        let seat = |number: usize| {
            let (room, member) = (number / self.members, number % self.members);
            Ok(Seat {
                room: room_id(self.first_room + room),
                token: tokens.of(number)?,
                target: number % self.targets,
                sends: member < self.senders,
                is_stalled: false,
                is_in_storm: false,
                also: Vec::new(),
            })
        };
        (0..self.rooms * self.members).map(seat).collect()
    }
}
