//! What a supervisor that is gone has left: its plugins, found by its records and by what they were given.
//!
//! A record says who was started, and is believed only where pid and start time are still the same process. One
//! that was being started when its supervisor was killed, and one whose record is lost, is found by its environment.

use std::path::Path;
use std::time::{Duration, Instant};

use super::claims::Claim;
use super::records::{InstanceRecord, read_all};
use crate::bus::BusDir;
use crate::supervisor::journal::Journal;
use crate::supervisor::process::{Process, Strays, Tree, age_of, started_on};

/// How long a process may take to execute a program.
const EXECUTION: Duration = Duration::from_secs(1);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// One instance that a supervisor before this one started.
#[derive(Debug)]
pub(in crate::supervisor) struct Inherited {
    pub(in crate::supervisor) record: InstanceRecord,
    /// `None` where it is gone, or cannot be proved to be the one that is meant.
    pub(in crate::supervisor) process: Option<Process>,
    pub(in crate::supervisor) tree: Tree,
    /// How long ago its process started, where that is known.
    pub(in crate::supervisor) age: Duration,
    /// Callers could find it.
    pub(in crate::supervisor) had_card: bool,
}

impl Inherited {
    pub(in crate::supervisor) fn claim(&self) -> Claim<'_> {
        let lives = self.process.is_some();
        // One that was only planned and is nowhere to be found never came to be: it has no exit to be told.
        let replica = self.record.replica.filter(|_| lives || !self.record.is_planned());
        Claim { name: &self.record.name, replica, lives }
    }
}

/// Finds all of it, and holds on to whoever lives. The caller holds the bus's lock: that supervisor is gone.
pub(in crate::supervisor) async fn find_inheritance(dir: &BusDir, journal: &Journal) -> Vec<Inherited> {
    let (mut records, unreadable) = read_all(dir);
    unreadable.iter().for_each(|what| journal.own(what));
    let bus = dir.path().to_owned();
    let strays = look(&bus, records.iter().any(InstanceRecord::is_planned)).await;
    for record in records.iter_mut().filter(|record| record.is_planned()) {
        if let Some(leader) = strays.found.iter().find(|stray| stray.leads && stray.instance == record.instance) {
            record.process = leader.process;
        }
    }
    records.extend(without_record(&strays, &records, journal));
    let cards: Vec<_> = dir.cards().unwrap_or_default().into_iter().map(|card| card.instance).collect();
    records.into_iter().map(|record| inherit(dir, record, &cards)).collect()
}

/// Looks at the process table, again while somebody is just executing a program who may be whom we look for.
async fn look(bus: &Path, somebody_is_missing: bool) -> Strays {
    let patience = Instant::now() + EXECUTION;
    loop {
        let at = bus.to_owned();
        // It reads many small files of the system's.
        let strays = tokio::task::spawn_blocking(move || started_on(&at)).await.unwrap_or_default();
        // A process that was given no environment at all looks the same for ever, and is none of ours.
        if !somebody_is_missing || !strays.executing || Instant::now() >= patience {
            return strays;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Records of instances that have none: theirs was lost, and with it all but what they were given.
fn without_record(strays: &Strays, records: &[InstanceRecord], journal: &Journal) -> Vec<InstanceRecord> {
    let mut made: Vec<InstanceRecord> = Vec::new();
    for stray in &strays.found {
        let known = |record: &InstanceRecord| record.instance == stray.instance;
        if records.iter().any(known) || made.iter().any(known) {
            continue;
        }
        journal.own(&format!(
            "found {} {} as process {}, without a record of it",
            stray.name, stray.instance, stray.process.pid
        ));
        let mut record = InstanceRecord::planned(stray.name.clone(), stray.instance.clone());
        // Whoever comes first started first, and the others came of it. One that leads no group is a remainder.
        if stray.leads {
            record.process = stray.process;
        }
        made.push(record);
    }
    made
}

fn inherit(dir: &BusDir, record: InstanceRecord, cards: &[String]) -> Inherited {
    let tree = record.tree(dir);
    let process = match record.is_of_this_boot() {
        true => Process::take_back(record.process, tree.clone()),
        false => None,
    };
    let age = process.as_ref().and_then(|process| age_of(process.id())).unwrap_or_default();
    let had_card = cards.contains(&record.instance);
    Inherited { record, process, tree, age, had_card }
}
