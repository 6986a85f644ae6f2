//! The plugin `text`: a plugin as an author writes one, and the one that the demo and the tests call.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use plugbus::plugin::{Failure, Input, Items, Plugin, ServeError};
use plugbus::wire::Progress;
use serde::{Deserialize, Serialize};

fn main() -> Result<(), ServeError> {
    Plugin::new("text", env!("CARGO_PKG_VERSION"))
        .method("revert", "Reverses a text, character by character as a reader sees them.", revert)
        .method("count", "Counts the characters, words and lines of a text.", count)
        .method("wrap", "Breaks a text into lines of at most `width` characters.", wrap)
        .method_async("slow_revert", "Reverses a text after `ms` milliseconds.", slow_revert)
        .method("lines", "Gives the lines of a text one by one.", lines)
        .method("count_words", "Counts the words of all texts that it is given.", count_words)
        .method("revert_each", "Gives back each text reversed, as soon as it has it.", revert_each)
        .method("repeat", "Gives a text again and again, for as long as it is read.", repeat)
        .method_async(
            "slow_lines",
            "Gives a line of a text every `ms` milliseconds, and says how far it is.",
            slow_lines,
        )
        .returns::<Counted>("count")
        .idempotent("revert")
        .idempotent("count")
        .idempotent("wrap")
        .typical("revert", Duration::from_millis(1))
        .typical("count", Duration::from_millis(1))
        .typical("wrap", Duration::from_millis(1))
        .serve()
}

fn revert(text: String) -> Result<String, Failure> {
    Ok(text::revert(&text))
}

#[derive(Deserialize, Serialize)]
struct Counted {
    graphemes: usize,
    words: usize,
    lines: usize,
}

fn count(text: String) -> Result<Counted, Failure> {
    let (graphemes, words, lines) = text::count(&text);
    Ok(Counted { graphemes, words, lines })
}

#[derive(Deserialize)]
struct Wrap {
    text: String,
    width: usize,
}

fn wrap(Wrap { text, width }: Wrap) -> Result<Vec<String>, Failure> {
    match width {
        0 => Err(Failure::bad_params("a line of width 0 holds nothing").with_data(&BTreeMap::from([("width", 0)]))),
        width => Ok(text::wrap(&text, width)),
    }
}

#[derive(Deserialize)]
struct Slow {
    text: String,
    ms: u64,
}

async fn slow_revert(Slow { text, ms }: Slow) -> Result<String, Failure> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    revert(text)
}

fn lines(text: String) -> Result<Items<String>, Failure> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    Ok(Items::of(lines))
}

fn repeat(text: String) -> Result<Items<String>, Failure> {
    Ok(Items::of(std::iter::repeat(text)).endless())
}

async fn slow_lines(Slow { text, ms }: Slow) -> Result<Items<String>, Failure> {
    Ok(Items::channel(move |mut sender| async move {
        let total = Some(text.lines().count() as u64);
        for (done, line) in (1..).zip(text.lines()) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            sender.send(&line.to_owned()).await?;
            sender.progress(Progress { done, total, message: None });
        }
        Ok(())
    }))
}

fn count_words(texts: Input<String>) -> Result<usize, Failure> {
    texts.map(|text| Ok(text::count(&text?).1)).sum()
}

fn revert_each(texts: Input<String>) -> Result<Items<String>, Failure> {
    Ok(Items::try_of(texts.map(|text| Ok::<_, Failure>(text::revert(&text?)))))
}
