//! Answers surveys, from a thread that no handler can keep busy.

use std::sync::Arc;
use std::thread;

use super::ledger::Ledger;
use crate::bus::{Respondent, block_on};
use crate::wire::{Answer, Info, Question, Want};

/// Whose pulse it is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) info: Info,
}

/// Starts the thread; it ends when the respondent does, which is with the process.
pub(super) fn start(mut respondent: Respondent, who: Arc<Identity>, ledger: Arc<Ledger>) -> std::io::Result<()> {
    let answering = move || {
        while let Some(incoming) = block_on(respondent.next()) {
            match Question::decode(incoming.body()) {
                Ok(question) => {
                    if let Ok(answer) = answer(&question, &who, &ledger).encode() {
                        incoming.reply(&answer);
                    }
                }
                Err(error) => tracing::warn!(%error, "a question that is none"),
            }
        }
    };
    thread::Builder::new().name("plugbus-pulse".into()).spawn(answering).map(drop)
}

fn answer(question: &Question, who: &Identity, ledger: &Ledger) -> Answer {
    let mut answer = Answer::new(question, &who.name, &who.instance, ledger.phase());
    answer.load = ledger.load();
    answer.info = (question.want == Want::Info).then(|| who.info.clone());
    answer
}
