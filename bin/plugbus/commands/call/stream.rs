//! Methods that give or take their items one by one.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;
use std::thread;

use plugbus::host::blocking::{Reader, Request, Writer};
use plugbus::host::{CallError, Piece};
use plugbus::wire::{MAX_MESSAGE, Schema};
use serde::de::IgnoredAny;

use super::input::Input;
use super::params::{self, Param};
use super::{explain, result};
use crate::args::{Call, Format};
use crate::error::CommandError;
use crate::output::{self, Bar};

/// Lines that are sent at once, where so many are there.
const BATCH: usize = 256;

/// Calls a method that gives items, and prints each as it comes.
pub(super) fn read(request: Request<'_>, params: &Param, format: Format) -> Result<(), CommandError> {
    print(request.stream(params).map_err(explain)?, format)
}

/// Calls a method that takes items: each argument is one, `-` stands for the lines of standard input.
pub(super) fn feed(request: Request<'_>, args: &Call, schema: Option<&Schema>) -> Result<(), CommandError> {
    let (writer, reader) = request.open::<Param, IgnoredAny>().map_err(explain)?;
    let dash = [OsString::from("-")];
    let items = if args.args.is_empty() { &dash[..] } else { &args.args }.to_vec();
    let (schema, json) = (schema.cloned(), args.json);
    let (tell, told) = mpsc::channel();
    // It may wait for standard input when the method has long ended: nobody waits for it.
    thread::spawn(move || {
        if let Err(error) = bring(writer, &items, schema.as_ref(), json) {
            let _ = tell.send(error);
        }
    });
    // What went wrong with the input is the reason, not that the stream has ended over it.
    print(reader, args.output).map_err(|error| told.try_recv().unwrap_or(error))
}

fn bring(
    mut writer: Writer<Param>,
    items: &[OsString],
    schema: Option<&Schema>,
    json: bool,
) -> Result<(), CommandError> {
    let item = |bytes: Vec<u8>| params::params(&[Input::line(bytes)], schema, json).map_err(CommandError::Usage);
    for argument in items {
        let wanted = if argument == "-" {
            bring_lines(&mut writer, item)?
        } else {
            writer.send(&item(argument.as_bytes().to_vec())?).map_err(explain)?
        };
        if !wanted {
            break;
        }
    }
    writer.end().map_err(explain)
}

/// Brings the lines of standard input as they come; whether more are wanted.
fn bring_lines(
    writer: &mut Writer<Param>,
    item: impl Fn(Vec<u8>) -> Result<Param, CommandError>,
) -> Result<bool, CommandError> {
    let mut lines = BufReader::new(io::stdin().lock());
    let mut batch = Vec::new();
    while let Some(line) = next_line(&mut lines)? {
        batch.push(item(line)?);
        let more = batch.len() < BATCH && lines.buffer().contains(&b'\n');
        if !more && !writer.send_all(&std::mem::take(&mut batch)).map_err(explain)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn next_line(lines: &mut impl BufRead) -> Result<Option<Vec<u8>>, CommandError> {
    let mut line = Vec::new();
    // A line without end has to stop somewhere.
    let limit = MAX_MESSAGE as u64 + 1;
    lines.take(limit).read_until(b'\n', &mut line).map_err(CommandError::system("read standard input"))?;
    match line.len() {
        0 => Ok(None),
        length if length > MAX_MESSAGE => Err(CallError::TooLarge(length).into()),
        _ => Ok(Some(line)),
    }
}

fn print(mut reader: Reader<IgnoredAny>, format: Format) -> Result<(), CommandError> {
    let mut bar = Bar::default();
    while let Some(piece) = reader.next_raw() {
        match piece.map_err(explain)? {
            Piece::Progress(progress) => bar.show(&progress),
            Piece::Item(item) => {
                bar.clear();
                output::print_raw(|out| result::write(out, &item, format))?;
            }
        }
    }
    Ok(())
}
