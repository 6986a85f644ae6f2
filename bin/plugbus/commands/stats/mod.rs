//! `plugbus stats`: how often methods are called, how long they take, and how they fail.

mod view;

use std::io::Write;
use std::time::Duration;

use plugbus::bus::Card;
use plugbus::host::{Bus, CallError};
use plugbus::wire::{Stats, builtin, nearest};

use self::view::{Row, View};
use super::control::SUPERVISOR;
use super::signals::until_interrupted;
use crate::args;
use crate::error::CommandError;
use crate::output::{self, BAD};
use crate::picture::{self, PAUSE};
use crate::settings::Settings;

/// How long an instance may take to tell its counters: it does so without waiting for anything.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(settings: &Settings, args: &args::Stats) -> Result<(), CommandError> {
    until_interrupted(async {
        if args.watch {
            return watch(settings, args).await;
        }
        let view = look(settings, args).await?;
        if args.json { output::print_json(&view) } else { output::print(|out| view.write(out, output::width())) }
    })
}

/// Ends only where it cannot even begin, or cannot print.
async fn watch(settings: &Settings, args: &args::Stats) -> Result<(), CommandError> {
    let (mut pictures, mut before) = (0, None);
    loop {
        match look(settings, args).await {
            Ok(mut view) => {
                if let Some(before) = &before {
                    view.compare(before);
                }
                if args.json {
                    output::print_raw(|out| {
                        serde_json::to_writer(&mut *out, &view)?;
                        writeln!(out)
                    })?;
                } else {
                    picture::show(pictures, |out, width| view.write(out, width))?;
                }
                before = Some(view);
            }
            Err(error) if pictures == 0 => return Err(error),
            Err(error) if args.json => output::error(&error),
            Err(error) => picture::show(pictures, |out, _| writeln!(out, "{BAD}{error}{BAD:#}"))?,
        }
        pictures += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks every instance that is meant, all at once.
async fn look(settings: &Settings, args: &args::Stats) -> Result<View, CommandError> {
    let bus = settings.async_bus()?;
    let cards = meant(bus.plugins()?, &args.plugins)?;
    let asked: Vec<_> = cards
        .into_iter()
        .map(|card| {
            let bus = bus.clone();
            tokio::spawn(async move { (ask(&bus, &card).await, card) })
        })
        .collect();
    let mut view = View::default();
    for answer in asked {
        let Ok((answer, card)) = answer.await else { continue };
        match answer {
            Ok(stats) => view.add(&card, stats, args.each),
            // One that ends meanwhile has nothing to tell.
            Err(_) if !card.process.is_alive() => {}
            Err(error) => view.add_missing(&card, &error),
        }
    }
    view.sort();
    Ok(view)
}

async fn ask(bus: &Bus, card: &Card) -> Result<Stats, CallError> {
    let request = bus.request(builtin::STATS).plugin(&card.name).instance(&card.instance);
    request.timeout(PATIENCE).call(&()).await
}

/// The instances of the plugins that were named; of all but the supervisor, where none was.
fn meant(cards: Vec<Card>, names: &[String]) -> Result<Vec<Card>, CommandError> {
    for name in names {
        if cards.iter().all(|card| card.name != *name) {
            let near = nearest(name, cards.iter().map(|card| card.name.as_str()));
            let nearest = near.into_iter().map(str::to_owned).collect();
            return Err(CallError::NoSuchPlugin { name: name.clone(), nearest }.into());
        }
    }
    let is_meant = |card: &Card| match names {
        [] => card.name != SUPERVISOR,
        names => names.contains(&card.name),
    };
    Ok(cards.into_iter().filter(is_meant).collect())
}

impl View {
    fn add(&mut self, card: &Card, stats: Stats, each: bool) {
        for (method, counted) in stats.methods {
            let instance = each.then(|| card.instance.clone());
            let key = |row: &Row| row.plugin == card.name && row.method == method && row.instance == instance;
            match self.methods.iter_mut().find(|row| key(row)) {
                Some(row) => row.stats.merge(&counted),
                None => self.methods.push(Row::new(card.name.clone(), instance, method, counted)),
            }
        }
    }
}
