//! Rooms, feeds and replays against a world that is made up: gateways are killed and cut off, live copies go missing,
//! come twice, late and in another order, phones come and go, the stream ages. Time, chance and the network are the
//! run's own, so a seed is a run: `SIMULATION_SEED=17 cargo x test -p gateway simulation` repeats one.

mod log;
mod node;
mod phone;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use schema::id::RoomId;
use scripts::simulation::{self, Fate};

use self::{
    log::{Log, Said, id},
    node::{Node, World},
    phone::Phone,
};

const STEPS: u64 = 90;
const ROOMS: u64 = 2;
const NODES: usize = 2;
const PHONES: u64 = 6;
/// Until everything is found after the last fault: tries of a hole, the wheel.
const QUIET_MICROS: u64 = 40_000_000;

struct Run {
    world: Arc<World>,
    nodes: Vec<Arc<Node>>,
    phones: Vec<Phone>,
}

/// What the runs have seen, so that none of it is nothing.
#[derive(Debug, Default)]
struct Seen {
    told: u64,
    unrecovered: u64,
    holes: u64,
}

#[test]
fn every_seat_hears_its_room_once_and_in_order_whatever_is_lost() {
    let seen = Mutex::new(Seen::default());
    let seen_all = simulation::for_each_seed(|seed| Run::new(seed).go(&seen));
    let seen = seen.into_inner();
    assert!(seen.told > 0, "nobody was told anything");
    if seen_all {
        assert!(seen.holes > 0, "no live copy was missed");
        assert!(seen.unrecovered < seen.told / 20, "{seen:?}: too much is left to history");
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = Arc::new(World { fate: Fate::new(seed), log: Log::default().into(), holes: AtomicU64::new(0) });
        let nodes = (0..NODES).map(|_| Node::start(&world)).collect();
        let phone = |number: u64| {
            let since = if world.fate.chance(50) { Some(0) } else { None };
            Phone::new(id(0x100 + number), room(number % ROOMS), since)
        };
        let phones = (0..PHONES).map(phone).collect();
        Self { world, nodes, phones }
    }

    async fn go(mut self, seen: &Mutex<Seen>) {
        for _ in 0..STEPS {
            self.act().await;
            let for_micros = if self.world.fate.chance(5) { 3_000_000 } else { 8_000 };
            let until = self.world.fate.time.now_micros() + 1 + self.world.fate.below(for_micros);
            self.pass(until).await;
        }
        self.end().await;
        let mut seen = seen.lock();
        for phone in &self.phones {
            let expected = self.world.log.lock().seqs(phone.room(), phone.since, u64::MAX);
            let missed: Vec<_> = expected.iter().filter(|seq| !phone.heard.contains(seq)).collect();
            assert!(phone.heard == expected, "{phone:?} missed {missed:?} of {expected:?}");
            seen.told += phone.told;
            seen.unrecovered += phone.unrecovered;
        }
        seen.holes += self.world.holes.load(Ordering::Relaxed);
    }

    async fn act(&mut self) {
        let node = usize::try_from(self.world.fate.below(2)).unwrap();
        match self.world.fate.below(100) {
            0..60 => self.publish(),
            60..76 => self.come(node).await,
            76..84 => self.go_away(),
            84..87 => self.restart(node),
            87..91 => self.nodes[node].cut(),
            91..95 => self.nodes[node].heal(),
            95..98 => self.nodes[node].resync(),
            _ => {
                let mut log = self.world.log.lock();
                let seq = log.first_seq() + 20;
                log.age(seq);
            }
        }
    }

    fn publish(&self) {
        let room = room(self.world.fate.below(ROOMS));
        let said = match self.world.fate.below(20) {
            0 => Said::Poison,
            1..3 => Said::Again,
            3..5 => Said::TakenBack,
            _ => Said::New,
        };
        let jump = if self.world.fate.chance(2) { 1_000 } else { 0 };
        for _ in 0..=self.world.fate.below(4) {
            let copy = self.world.log.lock().append(room, said, jump);
            self.nodes.iter().for_each(|node| node.send_copy(room, &copy));
        }
    }

    async fn come(&mut self, node: usize) {
        if let Some(phone) = self.phones.iter_mut().find(|phone| !phone.is_connected()) {
            phone.connect(&self.nodes[node]).await;
        }
    }

    fn go_away(&mut self) {
        let (phone, percent) = (self.world.fate.below(PHONES), self.world.fate.below(101));
        self.phones[usize::try_from(phone).unwrap()].disconnect(usize::try_from(percent).unwrap(), true);
    }

    fn restart(&mut self, node: usize) {
        let killed = std::mem::replace(&mut self.nodes[node], Node::start(&self.world));
        killed.kill();
        for phone in self.phones.iter_mut().filter(|phone| phone.is_at(&killed)) {
            let percent = self.world.fate.below(101);
            phone.disconnect(usize::try_from(percent).unwrap(), false);
        }
    }

    /// Lets time pass; phones read now and then.
    async fn pass(&mut self, until: u64) {
        loop {
            let goes_on = self.world.fate.time.step(until).await;
            for phone in &mut self.phones {
                if !goes_on || self.world.fate.chance(40) {
                    phone.read();
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    /// All is well again, and everybody is there.
    async fn end(&mut self) {
        self.world.fate.end_faults();
        self.nodes.iter().for_each(|node| node.heal());
        let (began, nodes) = (self.world.fate.time.now_micros(), self.nodes.clone());
        for round in 1..=4 {
            for (number, phone) in self.phones.iter_mut().enumerate().filter(|(_, phone)| !phone.is_connected()) {
                phone.connect(&nodes[number % NODES]).await;
            }
            self.pass(began + QUIET_MICROS * round / 4).await;
            for node in &nodes {
                node.resync();
            }
        }
        self.pass(began + QUIET_MICROS * 2).await;
        assert!(self.phones.iter().all(Phone::is_live), "somebody did not come in: {:?}", self.phones);
    }
}

fn room(number: u64) -> RoomId {
    id(0x1000 + number)
}
