//! The methods of plugin `supervisor`.

use std::future::Future;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{OWN_NAME, Reloader};
use crate::plugin::{Failure, Plugin};
use crate::supervisor::PluginRequest;
use crate::supervisor::dispatcher::{Order, OrderQuery, OrderRefusal, Request, WaitFound, WaitQuery, WaitRefusal};
use crate::supervisor::report::{OrderReport, ReloadReport, StatusReport, StopReport};

/// What an order to plugins by name takes.
#[derive(Debug, Deserialize)]
struct Names {
    names: Vec<String>,
    #[serde(default = "yes")]
    wait: bool,
}

/// What `restart` takes.
#[derive(Debug, Deserialize)]
struct Restart {
    names: Vec<String>,
    #[serde(default)]
    rolling: bool,
    #[serde(default = "yes")]
    wait: bool,
}

/// What `stop` takes; without names it is the supervisor itself that is to stop.
#[derive(Debug, Default, Deserialize)]
struct Stop {
    names: Option<Vec<String>>,
    #[serde(default = "yes")]
    wait: bool,
}

/// What `scale` takes.
#[derive(Debug, Deserialize)]
struct Scale {
    name: String,
    replicas: u32,
    #[serde(default = "yes")]
    wait: bool,
}

/// What `add` takes.
#[derive(Debug, Deserialize)]
struct Add {
    plugin: PluginRequest,
    #[serde(default = "yes")]
    wait: bool,
}

/// What `reload` takes.
#[derive(Debug, Default, Deserialize)]
struct Reload {
    #[serde(default)]
    plan: bool,
}

/// What `stop` answers: who is ending, or how those stand that were to end.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Stopped {
    Supervisor(StopReport),
    Plugins(OrderReport),
}

fn yes() -> bool {
    true
}

/// Where a method hands in its request.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    requests: mpsc::Sender<Request>,
    reloader: Option<Reloader>,
    /// The process is nothing but this supervisor, and becomes its program anew when it is told to leave.
    replaceable: bool,
}

impl Desk {
    pub(super) fn new(requests: mpsc::Sender<Request>, reloader: Option<Reloader>, replaceable: bool) -> Self {
        Self { requests, reloader, replaceable }
    }

    /// The supervisor as callers see it.
    pub(super) fn plugin(&self) -> Plugin {
        let plugin = Plugin::new(OWN_NAME, env!("CARGO_PKG_VERSION"));
        let plugin = self.with_questions(plugin);
        let plugin = self.with_orders(plugin);
        self.with_changes(plugin)
    }

    fn with_questions(&self, plugin: Plugin) -> Plugin {
        let status = self.served(|desk, _: IgnoredAny| async move { desk.ask(Request::Status).await });
        let survey = self.served(|desk, _: IgnoredAny| async move { desk.ask(Request::Survey).await });
        let wait = self.served(Self::wait);
        plugin
            .method_async("status", "Where every plugin stands, and why.", status)
            .idempotent("status")
            .method_async("survey", "Asks every plugin at once whether it is alive.", survey)
            .idempotent("survey")
            .method_async("wait", "Waits for a ready instance of {plugin?, method?} that is not one of {not}.", wait)
            .idempotent("wait")
    }

    fn with_orders(&self, plugin: Plugin) -> Plugin {
        let restart = self.served(|desk, Restart { names, rolling, wait }| async move {
            if names == [OWN_NAME] {
                return desk.replace_supervisor().await;
            }
            let order = if rolling { Order::RestartRolling } else { Order::Restart };
            desk.order(OrderQuery { order, names, wait }).await
        });
        let stop = self.served(|desk, stop: Option<Stop>| desk.stop(stop.unwrap_or_default()));
        let plugin = plugin
            .method_async(
                "restart",
                "Stops plugins and starts them anew, {rolling: true} one by one; the supervisor: no plugin notices.",
                restart,
            )
            .method_async("stop", "Stops plugins, to stay stopped; without {names}, all and the supervisor.", stop);
        [
            ("start", "Starts plugins by name or pattern.", Order::Start),
            ("reset", "Forgets the failures of plugins and tries again at once.", Order::Reset),
            ("enable", "Puts plugins in service, and starts them.", Order::Enable),
            ("disable", "Stops plugins and takes them out of service.", Order::Disable),
            ("remove", "Stops plugins, and they are no longer there.", Order::Remove),
        ]
        .into_iter()
        .fold(plugin, |plugin, (name, doc, order)| {
            let order = move |desk: Self, Names { names, wait }| async move {
                desk.order(OrderQuery { order, names, wait }).await
            };
            plugin.method_async(name, doc, self.served(order))
        })
    }

    fn with_changes(&self, plugin: Plugin) -> Plugin {
        let scale = self.served(|desk, Scale { name, replicas, wait }| async move {
            desk.ordered(|answer| Request::Scale { name, replicas, wait, answer }).await
        });
        let add = self.served(|desk, Add { plugin, wait }| async move {
            desk.ordered(|answer| Request::Add { request: plugin, wait, answer }).await
        });
        let reload = self.served(|desk, reload: Option<Reload>| desk.reload(reload.unwrap_or_default()));
        plugin
            .method_async("scale", "Runs another number of instances of a plugin.", scale)
            .method_async("add", "Adds a plugin that no configuration has, and starts it.", add)
            .method_async(
                "reload",
                "Reads the configuration anew; {plan: true}: only says what that would do.",
                reload,
            )
    }

    /// A method that hands in its request here.
    fn served<A, R, F>(
        &self,
        serve: impl Fn(Self, A) -> F + Clone + Send + Sync + 'static,
    ) -> impl Fn(A) -> F + Send + Sync + 'static
    where
        A: DeserializeOwned + Send + 'static,
        F: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let desk = self.clone();
        move |params| serve(desk.clone(), params)
    }

    async fn wait(self, query: WaitQuery) -> Result<WaitFound, Failure> {
        let found = self.ask(|answer| Request::Wait(query, answer)).await?;
        found.map_err(|refusal: WaitRefusal| Failure::new(refusal.to_string()).with_data(&refusal))
    }

    async fn stop(self, Stop { names, wait }: Stop) -> Result<Stopped, Failure> {
        match names {
            Some(names) => self.order(OrderQuery { order: Order::Stop, names, wait }).await.map(Stopped::Plugins),
            None => self.stop_supervisor().await.map(Stopped::Supervisor),
        }
    }

    /// Answers before anything has stopped: the caller learns the rest from the card that goes.
    async fn stop_supervisor(self) -> Result<StopReport, Failure> {
        let report: StatusReport = self.ask(Request::Status).await?;
        self.requests.send(Request::Stop).await.map_err(|_| stopping())?;
        let running = report.plugins.iter().filter(|plugin| plugin.state.is_running()).count();
        Ok(StopReport { pid: report.pid, stopping: running.try_into().unwrap_or(u64::MAX) })
    }

    /// The supervisor's own program anew, which takes every plugin back; answered before it leaves.
    async fn replace_supervisor(self) -> Result<OrderReport, Failure> {
        if !self.replaceable {
            let message = "this supervisor is part of another program, which alone can restart it".to_owned();
            return Err(refused(OrderRefusal::Invalid { message }));
        }
        // Whoever cannot read its configuration would leave the plugins to nobody.
        self.clone().reload(Reload { plan: true }).await?;
        self.requests.send(Request::Leave).await.map_err(|_| stopping())?;
        Ok(OrderReport { done: true, plugins: Vec::new() })
    }

    async fn order(self, query: OrderQuery) -> Result<OrderReport, Failure> {
        self.ordered(|answer| Request::Order(query, answer)).await
    }

    async fn ordered(
        self,
        request: impl FnOnce(oneshot::Sender<Result<OrderReport, OrderRefusal>>) -> Request,
    ) -> Result<OrderReport, Failure> {
        self.ask(request).await?.map_err(refused)
    }

    async fn reload(self, Reload { plan }: Reload) -> Result<ReloadReport, Failure> {
        let Some(reloader) = &self.reloader else {
            return Err(Failure::new("this supervisor was not started from configuration files"));
        };
        reloader.reload(plan).await.map_err(|refusal| Failure::new(refusal.to_string()).with_data(&refusal))
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }
}

fn refused(refusal: OrderRefusal) -> Failure {
    Failure::new(refusal.to_string()).with_data(&refusal)
}

fn stopping() -> Failure {
    refused(OrderRefusal::Stopping)
}
