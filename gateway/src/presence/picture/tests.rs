//! One room's people, without a clock and a wire.

use super::*;

const EVERY: Duration = limit::PRESENCE_EVERY;
const LAPSES: Duration = Duration::from_mins(1);

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_millis(second * 1_000).unwrap()
}

fn gateway(name: &str) -> GatewayId {
    GatewayId::parse(name).unwrap()
}

fn users<const N: usize>() -> [UserId; N] {
    std::array::from_fn(|_| UserId::random())
}

/// A room whose feed has listened for long enough, and the moment until which it has.
fn open() -> (Picture, RoomId, Instant) {
    let mut picture = Picture::default();
    let now = Instant::now();
    picture.listen(now);
    picture.say_all(now, now + LAPSES);
    (picture, RoomId::random(), now + OPENING)
}

/// Who the room is told is online, or not any more.
fn told(picture: &mut Picture, room: RoomId, now: Instant) -> Vec<(UserId, bool, Option<Timestamp>)> {
    let frames = if picture.may_tell(now) { picture.tell(room, now) } else { Vec::new() };
    let fields = frames.into_iter().map(|frame| match frame {
        ServerFrame::Presence { user_id, online, last_seen_at, .. } => (user_id, online, last_seen_at),
        other => panic!("{other:?}"),
    });
    fields.collect()
}

fn came(users: &[UserId]) -> Moves {
    Moves { came: users.to_vec(), gone: Vec::new() }
}

fn gone(users: &[UserId]) -> Moves {
    Moves { came: Vec::new(), gone: users.to_vec() }
}

#[test]
fn who_has_two_seats_comes_with_the_first_and_goes_with_the_last() {
    let (mut picture, room, now) = open();
    let [ann] = users();
    picture.arrive(ann, at(1));
    picture.arrive(ann, at(1));
    assert_eq!(told(&mut picture, room, now), [(ann, true, None)]);
    assert!(!picture.leave(ann, at(2)));
    assert_eq!(told(&mut picture, room, now + EVERY), []);
    assert!(picture.leave(ann, at(3)));
    assert!(!picture.leave(ann, at(4)), "nobody leaves twice");
    assert_eq!(told(&mut picture, room, now + EVERY), [(ann, false, Some(at(3)))]);
}

#[test]
fn who_is_on_two_gateways_is_there_until_gone_from_both() {
    let (mut picture, room, now) = open();
    let ([ann], other) = (users(), gateway("b"));
    picture.hear_moves(&other, came(&[ann]), now, at(1));
    picture.hear_moves(&other, came(&[ann]), now, at(1));
    picture.arrive(ann, at(1));
    assert_eq!(told(&mut picture, room, now), [(ann, true, None)]);
    picture.leave(ann, at(2));
    assert_eq!(told(&mut picture, room, now + EVERY), []);
    picture.hear_moves(&other, gone(&[ann]), now, at(3));
    assert_eq!(told(&mut picture, room, now + EVERY), [(ann, false, Some(at(3)))]);
    picture.say_moves(now);
    assert!(picture.people.is_empty() && picture.left.is_empty(), "nothing is kept of who is gone");
}

#[test]
fn who_comes_and_goes_within_a_second_is_not_mentioned() {
    let (mut picture, room, now) = open();
    let [ann, ben] = users();
    picture.arrive(ann, at(1));
    assert_eq!(told(&mut picture, room, now), [(ann, true, None)]);
    assert_eq!(picture.say_moves(now), came(&[ann]));
    assert!(!picture.may_tell(now), "the second has begun");
    picture.leave(ann, at(1));
    picture.arrive(ben, at(1));
    picture.arrive(ann, at(1));
    picture.leave(ben, at(1));
    assert_eq!(picture.next(LAPSES), Some(now + EVERY));
    assert_eq!(told(&mut picture, room, now + EVERY), []);
    assert_eq!(picture.say_moves(now + EVERY), Moves::default());
    assert!(picture.may_tell(now + EVERY), "nothing was told, so the next change goes at once");
}

#[test]
fn a_crowd_is_told_fifty_by_fifty_in_the_order_in_which_it_came() {
    let (mut picture, room, now) = open();
    let crowd: [UserId; 120] = users();
    for user in &crowd {
        picture.arrive(*user, at(1));
    }
    let mut order = Vec::new();
    for (second, expected) in [50, 50, 20, 0].into_iter().enumerate() {
        let moment = now + EVERY * u32::try_from(second).unwrap();
        let batch = told(&mut picture, room, moment);
        assert_eq!(batch.len(), expected);
        assert_eq!(told(&mut picture, room, moment), [], "once a second");
        order.extend(batch.into_iter().map(|(user, ..)| user));
    }
    assert_eq!(order, crowd);
}

#[test]
fn nobody_is_told_anything_before_other_gateways_could_answer() {
    let (mut picture, now) = (Picture::default(), Instant::now());
    let [ann] = users();
    picture.arrive(ann, at(1));
    assert_eq!((picture.next(LAPSES), picture.may_tell(now)), (None, false));
    picture.listen(now);
    assert_eq!(picture.next(LAPSES), Some(now), "they are asked at once");
    assert!(!picture.may_tell(now) && !picture.is_settled(now));
    assert!(picture.may_tell(now + OPENING) && picture.is_settled(now + OPENING));
}

#[test]
fn everybody_there_takes_the_place_of_what_was_heard_before() {
    let (mut picture, room, now) = open();
    let ([ann, ben, cem], other) = (users(), gateway("b"));
    picture.hear_all(&other, (1, 1), vec![ann, ben], now, at(1));
    let mut first = told(&mut picture, room, now);
    first.sort_unstable();
    let mut expected = [(ann, true, None), (ben, true, None)];
    expected.sort_unstable();
    assert_eq!(first, expected);
    picture.hear_all(&other, (1, 2), vec![ben], now, at(2));
    assert!(picture.changed.is_empty(), "half of an announcement counts for nothing");
    picture.hear_all(&other, (2, 2), vec![cem], now, at(2));
    assert_eq!(told(&mut picture, room, now + EVERY), [(cem, true, None), (ann, false, Some(at(2)))]);
    picture.hear_all(&other, (2, 2), vec![ann], now, at(3));
    picture.hear_all(&other, (1, 3), vec![ann], now, at(3));
    picture.hear_all(&other, (3, 3), vec![ann], now, at(3));
    assert!(picture.changed.is_empty(), "one with a part missing counts for nothing");
    picture.hear_all(&other, (1, 1), Vec::new(), now, at(4));
    assert!(picture.elsewhere.is_empty(), "it has given the room up");
    assert_eq!(told(&mut picture, room, now + EVERY * 2).len(), 2);
}

#[test]
fn what_is_not_said_again_lapses() {
    let (mut picture, room, now) = open();
    let ([ann, ben], other, third) = (users(), gateway("b"), gateway("c"));
    picture.hear_moves(&other, came(&[ann, ben]), now, at(1));
    picture.hear_moves(&third, came(&[ben]), now, at(1));
    picture.say_moves(now);
    told(&mut picture, room, now);
    picture.hear_moves(&third, Moves::default(), now + EVERY, at(2));
    assert_eq!(picture.lapse(now + LAPSES / 2, LAPSES, |_| at(9)), []);
    assert_eq!(picture.lapse(now + LAPSES, LAPSES, |_| at(9)), [(ann, at(9))], "Ben is at the third one too");
    assert_eq!(told(&mut picture, room, now + LAPSES), [(ann, false, Some(at(9)))]);
    picture.excuse(now + LAPSES);
    assert_eq!(picture.lapse(now + LAPSES + EVERY, LAPSES, |_| at(9)), [], "nobody is silent whom we can not hear");
}

#[test]
fn everything_is_said_at_most_once_a_second_however_often_it_is_asked() {
    let (mut picture, _room, now) = open();
    let [ann] = users();
    picture.arrive(ann, at(1));
    assert_eq!(picture.say_all(now, now + LAPSES), [ann]);
    assert_eq!(picture.say_moves(now), Moves::default(), "it was among all");
    picture.want_all(now);
    picture.want_all(now + Duration::from_millis(1));
    assert_eq!(picture.say_all_at, Some(now + EVERY));
    picture.say_all(now + EVERY, now + LAPSES);
    picture.want_all(now + EVERY * 3);
    assert_eq!(picture.say_all_at, Some(now + EVERY * 3), "at once after a quiet second");
}

#[test]
fn a_greeting_names_whom_the_room_was_told_of_and_oneself() {
    let (mut picture, room, now) = open();
    let [ann, ben] = users();
    picture.arrive(ann, at(1));
    told(&mut picture, room, now);
    picture.arrive(ben, at(1));
    let (mine, others) = picture.greet(room, ben);
    assert_eq!((mine, others.clone()), (Some(frame(room, ben)), frame(room, ann)));
    assert_eq!(picture.greet(room, ann), (None, others.clone()), "who is among them is not named twice");
    assert_eq!(picture.greet(room, ann).1.as_ptr(), others.as_ptr(), "the bytes are shared");
    told(&mut picture, room, now + EVERY);
    assert_eq!(picture.greet(room, ben).1.len(), others.len() * 2);
    let crowd: [UserId; 200] = users();
    for user in crowd {
        picture.arrive(user, at(1));
    }
    for second in 2..8 {
        told(&mut picture, room, now + EVERY * second);
    }
    assert_eq!(picture.greet(room, UserId::random()).1.len(), others.len() * limit::PRESENCE_SNAPSHOT_MAX);
}
