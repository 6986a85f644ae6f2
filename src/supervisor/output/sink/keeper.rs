//! The supervisor's side: keeps a sink running and all pipes in its hands.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::capture::{Reading, read_here};
use super::super::chunk::Stream;
use super::super::source::Told;
use super::super::voice::{note, show};
use super::super::{Queue, Source};
use super::Place;
use super::link::{Link, Shared};
use super::message::{News, Wish};
use super::orders::{Order, Orders};
use super::process::Sink;

/// A sink that ran for this long was a good one; one that dies sooner may do so again at once.
const GOOD: Duration = Duration::from_secs(1);

/// Sinks in a row that may fail before this process reads the pipes itself.
const FAILURES: u32 = 10;

/// How often a sink is asked whether it is well, and how many answers it may owe.
const PING: (Duration, u32) = (Duration::from_secs(2), 3);

type Pipes = Vec<(Stream, Arc<OwnedFd>)>;

/// Owner of the connection to the sink, and of the supervisor's copies of all pipes.
#[derive(Debug)]
pub(in crate::supervisor::output) struct Keeper {
    place: Place,
    orders: mpsc::UnboundedReceiver<Order>,
    queue: Arc<Queue>,
    held: HashMap<String, Held>,
    /// What the sink had from an earlier supervisor, until it is asked for.
    found: HashMap<String, Found>,
}

#[derive(Debug)]
struct Held {
    source: Arc<Source>,
    pipes: Pipes,
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct Found {
    name: String,
    pipes: Pipes,
    told: Told,
    ended: bool,
}

/// What ended the work with one sink.
#[derive(Debug)]
enum After {
    Lost(String),
    /// Everything is to be written, and then the sink is to end.
    Close(oneshot::Sender<()>),
    /// The sink is to go on without us.
    Leave(oneshot::Sender<()>),
    /// Nobody is left who could give an order.
    Abandoned,
}

impl Keeper {
    /// Starts or finds the sink in the background.
    pub(in crate::supervisor::output) fn start(place: Place, queue: &Arc<Queue>) -> Orders {
        let (way_in, orders) = Orders::new();
        let (held, found) = (HashMap::new(), HashMap::new());
        let keeper = Self { place, orders, queue: Arc::clone(queue), held, found };
        tokio::spawn(keeper.run());
        way_in
    }

    async fn run(mut self) {
        let mut failures = 0;
        while failures < FAILURES {
            // The first time at once: plugins wait in `write` meanwhile, when their pipes are full.
            tokio::time::sleep(Duration::from_millis(10) * failures).await;
            let mut sink = match self.reach().await {
                Ok(sink) => sink,
                Err(error) => {
                    tracing::warn!(%error, command = ?self.place.command, "no sink can be started for plugins' output");
                    failures += 1;
                    continue;
                }
            };
            let since = Instant::now();
            let after = self.serve(&mut sink.link).await;
            match after {
                After::Lost(why) => {
                    tracing::warn!("the sink of plugins' output is started anew: {why}");
                    sink.process.end();
                }
                After::Close(done) => {
                    self.close(sink).await;
                    let _ = done.send(());
                    return;
                }
                After::Leave(done) => {
                    let _ = sink.link.finish().await;
                    let _ = done.send(());
                    return;
                }
                After::Abandoned => return,
            }
            failures = if since.elapsed() < GOOD { failures + 1 } else { 0 };
        }
        let _ = std::fs::remove_file(&self.place.socket);
        tracing::error!("no sink keeps running: what plugins print is read here, and lost if this process is killed");
        self.read_here().await;
    }

    /// Connects to the sink that is there or to a new one, and gives it all pipes that it does not have.
    async fn reach(&mut self) -> io::Result<Sink> {
        let mut sink = Sink::find_or_start(&self.place).await?;
        let mut known = self.take_over(&mut sink);
        if sink.is_other_version() {
            tracing::info!("the sink of plugins' output is of another version: it makes way for one of this");
            sink.dismiss().await;
            sink = Sink::start(&self.place).await?;
            known = self.take_over(&mut sink);
        }
        for (instance, held) in self.held.iter().filter(|(instance, _)| !known.contains(*instance)) {
            held.source.mirror_anew();
            take(&mut sink.link, &held.source.name, instance, &held.pipes, true);
        }
        let others = self.found.iter().filter(|(instance, found)| !found.ended && !known.contains(*instance));
        for (instance, found) in others {
            take(&mut sink.link, &found.name, instance, &found.pipes, true);
        }
        Ok(sink)
    }

    /// Takes in what a sink has; answers which instances these are.
    fn take_over(&mut self, sink: &mut Sink) -> HashSet<String> {
        let mut known = HashSet::new();
        for (name, instance, pipes, told, ended) in sink.has.drain(..) {
            if !ended {
                known.insert(instance.clone());
            }
            if !self.held.contains_key(&instance) {
                self.found.insert(instance, Found { name, pipes, told, ended });
            }
        }
        known
    }

    async fn serve(&mut self, link: &mut Link) -> After {
        let mut tick = tokio::time::interval(PING.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut owed, mut last_tick) = (0, Instant::now());
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Close { done }) => return After::Close(done),
                    Some(Order::Leave { done }) => return After::Leave(done),
                    Some(order) => self.obey(order, link),
                    None => return After::Abandoned,
                },
                news = link.next::<News>() => match news {
                    Ok(Some((News::Pong { .. }, _))) => owed = 0,
                    Ok(Some((news, _))) => self.hear(news, link),
                    Ok(None) => return After::Lost("it is gone".into()),
                    Err(error) => return After::Lost(error.to_string()),
                },
                now = tick.tick() => {
                    // Where this process stood still, the answers wait to be read.
                    if now - std::mem::replace(&mut last_tick, now) > PING.0 * 2 {
                        owed = 0;
                    }
                    if owed == PING.1 {
                        return After::Lost(format!("it has not answered for {} s", (PING.0 * PING.1).as_secs()));
                    }
                    owed += 1;
                    link.post(&Wish::Ping { number: owed.into() }, Vec::new());
                }
            }
        }
    }

    fn obey(&mut self, order: Order, link: &mut Link) {
        match order {
            Order::Capture { source, pipes, ended } => {
                let pipes = pipes.into_iter().map(|(stream, pipe)| (stream, Arc::new(pipe))).collect();
                let held = Held { source, pipes, ended };
                take(link, &held.source.name, &held.source.instance, &held.pipes, false);
                self.held.insert(held.source.instance.clone(), held);
            }
            Order::Recapture { source, ended, found } => {
                // Whoever asked may have gone.
                let _ = found.send(self.recapture(source, ended));
            }
            Order::Release { instance } => self.release(instance, link),
            Order::SetLog { spec } => {
                self.place.spec = spec.clone();
                link.post(&Wish::Log { log: spec }, Vec::new());
            }
            // Are served where they end the loop.
            Order::Close { .. } | Order::Leave { .. } => {}
        }
    }

    fn recapture(&mut self, source: Arc<Source>, ended: watch::Sender<bool>) -> bool {
        let Some(found) = self.found.remove(&source.instance) else { return false };
        source.mirror(found.told);
        if found.ended {
            ended.send_replace(true);
        } else {
            self.held.insert(source.instance.clone(), Held { source, pipes: found.pipes, ended });
        }
        true
    }

    fn release(&mut self, instance: String, link: &mut Link) {
        self.held.remove(&instance);
        link.post(&Wish::Release { instance }, Vec::new());
    }

    fn hear(&mut self, news: News, link: &mut Link) {
        match news {
            News::Said { instance, told } => match (self.held.get(&instance), self.found.get_mut(&instance)) {
                (Some(held), _) => held.source.mirror(told),
                (None, Some(found)) => found.told = told,
                (None, None) => {}
            },
            News::Ended { instance, told } => {
                if let Some(held) = self.held.get(&instance) {
                    held.source.mirror(told);
                    held.ended.send_replace(true);
                } else if let Some(found) = self.found.get_mut(&instance) {
                    (found.told, found.ended, found.pipes) = (told, true, Vec::new());
                }
                self.release(instance, link);
            }
            News::Shown { name, stream, text, withheld } => show(&name, stream, &text, withheld),
            News::Note { is_error, text } => note(is_error, &text),
            // Only said in greeting, or counted already.
            News::Have { .. } | News::Ready { .. } | News::Pong { .. } => {}
        }
    }

    /// Has the sink write everything and end.
    async fn close(&mut self, mut sink: Sink) {
        for instance in self.held.keys().chain(self.found.keys()) {
            sink.link.post(&Wish::Release { instance: instance.clone() }, Vec::new());
        }
        if sink.link.finish().await.is_err() {
            return;
        }
        while let Ok(Some((news, _))) = sink.link.next::<News>().await {
            self.hear(news, &mut sink.link);
        }
        sink.process.ended().await;
    }

    /// Does without a sink from here on.
    async fn read_here(mut self) {
        let mut readings: HashMap<String, Reading> = HashMap::new();
        for (instance, held) in std::mem::take(&mut self.held) {
            readings.insert(instance, read_here(own(held.pipes), &held.source, &self.queue, held.ended));
        }
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Capture { source, pipes, ended } => {
                    let instance = source.instance.clone();
                    readings.insert(instance, read_here(pipes, &source, &self.queue, ended));
                }
                Order::Recapture { source, ended, found } => {
                    let is_found = self.recapture(source.clone(), ended);
                    if let Some(held) = self.held.remove(&source.instance) {
                        let reading = read_here(own(held.pipes), &source, &self.queue, held.ended);
                        readings.insert(source.instance.clone(), reading);
                    }
                    let _ = found.send(is_found);
                }
                Order::Release { instance } => {
                    if let Some(reading) = readings.remove(&instance) {
                        reading.end(instance);
                    }
                }
                Order::SetLog { spec } => self.queue.set_spec(spec),
                Order::Close { done } | Order::Leave { done } => {
                    let _ = done.send(());
                    return;
                }
            }
            readings.retain(|_, reading| !reading.is_over());
        }
    }
}

fn take(link: &mut Link, name: &str, instance: &str, pipes: &Pipes, again: bool) {
    let streams = pipes.iter().map(|(stream, _)| *stream).collect();
    let fds = pipes.iter().map(|(_, fd)| Arc::clone(fd) as Shared).collect();
    link.post(&Wish::Take { name: name.into(), instance: instance.into(), streams, again }, fds);
}

fn own(pipes: Pipes) -> Vec<(Stream, OwnedFd)> {
    let own = |fd: Arc<OwnedFd>| Arc::try_unwrap(fd).or_else(|shared| shared.try_clone());
    // Fails where the system has no descriptor left; that pipe is lost, and its plugin gets SIGPIPE.
    pipes.into_iter().filter_map(|(stream, fd)| Some((stream, own(fd).ok()?))).collect()
}
