//! The methods that every plugin answers.

use serde::Deserialize;

use super::ledger::Ledger;
use super::pulse::Identity;
use crate::wire::{Code, Fault, Raw, Reply, builtin};

/// What a built-in method wants done beside its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Drain,
}

#[derive(Deserialize)]
struct Cancel<'a> {
    id: &'a str,
}

/// Answers a method whose name starts with `$`.
pub(super) fn answer(method: &str, params: Raw<'_>, who: &Identity, ledger: &Ledger) -> (Vec<u8>, Then) {
    let (result, then) = match method {
        builtin::PING => (Reply::encode_result(&()), Then::Nothing),
        builtin::INFO => (Reply::encode_result(&who.info), Then::Nothing),
        builtin::STATS => (Reply::encode_result(&ledger.stats()), Then::Nothing),
        builtin::STOP => (Reply::encode_result(&()), Then::Drain),
        builtin::CANCEL => match params.to::<Cancel<'_>>() {
            Ok(cancel) => (Reply::encode_result(&ledger.cancel(cancel.id)), Then::Nothing),
            Err(error) => return refuse(Code::BadParams, format!("$cancel takes {{id}}: {error}")),
        },
        _ => return refuse(Code::NoMethod, format!("there is no built-in method {method:?}")),
    };
    match result {
        Ok(reply) => (reply, then),
        Err(error) => refuse(Code::Failed, error.to_string()),
    }
}

fn refuse(code: Code, message: String) -> (Vec<u8>, Then) {
    (Reply::encode_error(&Fault::new(code, message)), Then::Nothing)
}
