//! Random schedules: three units that depend on each other, in a world that does whatever a world can do.
//!
//! `PLUGBUS_SCHEDULES` says how many, `PLUGBUS_SEED` from which seed on; what fails names its seed and is made small.

mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use self::world::World;
use super::*;
use crate::supervisor::{AtIntensity, IntensitySpec, SoftSignal};

/// How many schedules come from one seed.
const CHUNK: u64 = 1000;

const MISSES: u32 = 3;
const GRACE: Duration = Duration::from_secs(3);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One thing that happens to one unit; what exactly depends on what is possible by then.
type Step = (u8, u8, u16);

/// Who requires whom and who comes after whom, by their places: later ones depend on earlier ones.
type Links = [(u8, u8); 3];

#[derive(Debug, Clone)]
struct Schedule {
    links: Links,
    policies: [u8; 3],
    steps: Vec<Step>,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let links = [(0..1_u8, 0..1_u8), (0..2_u8, 0..2_u8), (0..4_u8, 0..4_u8)];
    let steps = vec((0..3_u8, any::<u8>(), any::<u16>()), 1..150);
    (links, any::<[u8; 3]>(), steps).prop_map(|(links, policies, steps)| Schedule { links, policies, steps })
}

fn spec_of(place: usize, schedule: &Schedule) -> PluginSpec {
    let (requires, after) = schedule.links[place];
    let named =
        |bits: u8| (0..place).filter(move |other| bits & (1 << other) != 0).map(|other| NAMES[other].to_owned());
    let dice = schedule.policies[place];
    PluginSpec {
        name: NAMES[place].to_owned(),
        requires: named(requires).collect(),
        after: named(after).collect(),
        wedge_grace: GRACE,
        soft_signal: (dice & 1 != 0).then_some(SoftSignal::Quit),
        intensity: IntensitySpec {
            restarts: 1 + u32::from(dice >> 1 & 3),
            within: Duration::from_secs(60),
            then: if dice & 8 != 0 { AtIntensity::Fail } else { AtIntensity::GoOn },
        },
        ..spec([RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never][usize::from(dice >> 4) % 3])
    }
}

fn run(schedule: &Schedule) {
    let mut world = World::new(schedule);
    for (place, kind, dice) in &schedule.steps {
        let place = usize::from(*place);
        world.now += Duration::from_millis(u64::from(*dice >> 3));
        for event in world.events(place, *kind, *dice) {
            world.tell(place, event);
            world.check();
        }
    }
    world.end();
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs the schedules of one seed.
fn run_seed(seed: u64, cases: u64) {
    let config = Config {
        cases: cases.try_into().unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&schedules(), |schedule| {
        run(&schedule);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("to see it again: PLUGBUS_SEED={seed} PLUGBUS_SCHEDULES={cases}\n{failure}");
    }
}

#[test]
fn random_schedules_keep_the_invariants() {
    let (wanted, first) = (variable("PLUGBUS_SCHEDULES", 10_000), variable("PLUGBUS_SEED", 1));
    let chunks = wanted.div_ceil(CHUNK);
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let work = || {
            loop {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                let Some(left) = wanted.checked_sub(chunk * CHUNK).filter(|_| chunk < chunks) else { break };
                run_seed(first + chunk, left.min(CHUNK));
            }
        };
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}
