//! The golden bytes of protocol 1, and the examples of `docs/protocol.md` that must be those bytes.
//!
//! `tests/golden/README.md` says what the folders mean. Nothing here starts a process or opens a socket.

#![expect(clippy::unwrap_used, reason = "a test may panic, in what it calls too")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugbus::wire::{
    Answer, Batch, Close, Code, CodecError, Fault, Info, Items, Load, Next, Opened, Put, Question, Raw, Reply,
    Request, RequestHead, Stats, Taken, Trail, Want, to_vec,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// One golden message: its file's name without the ending, its bytes, and what stands beside it.
struct Golden {
    name: String,
    bytes: Vec<u8>,
    beside: Value,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bytes of a `.hex` text: two digits each, `#` begins a comment.
fn unhex(text: &str) -> Vec<u8> {
    let digits: String =
        text.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    assert!(digits.is_ascii() && digits.len().is_multiple_of(2), "half a byte in {text}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn messages(in_folder: &str) -> Vec<Golden> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder(in_folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "hex") {
            found.push(Golden {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                bytes: unhex(&read(&path)),
                beside: serde_json::from_str(&read(&path.with_extension("json"))).unwrap(),
            });
        }
    }
    assert!(found.len() > 10, "{in_folder} should hold more than {} messages", found.len());
    found
}

/// Reads a message as what its name says it is, and writes what was understood.
fn rewrite(name: &str, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    match name.split('-').next().unwrap() {
        "request" => {
            let request = Request::decode(bytes)?;
            match request.head.method {
                // These are messages of the protocol: their fields have an order of their own.
                "$next" => request.head.encode(&Next::read(request.params)?),
                "$put" => {
                    let put = Put::read(request.params)?.encode();
                    Ok(request.head.encode_raw(Raw::new(&put)?))
                }
                "$close" => request.head.encode(&Close::read(request.params)?),
                _ => request.head.encode(&request.params.to::<Value>()?),
            }
        }
        "reply" | "error" => match Reply::decode(bytes)? {
            Reply::Result(raw) if name.starts_with("reply-info") => Reply::encode_result(&raw.to::<Info>()?),
            Reply::Result(raw) if name == "reply-stats" => Reply::encode_result(&raw.to::<Load>()?),
            Reply::Result(raw) if name == "reply-stats-methods" => Reply::encode_result(&raw.to::<Stats>()?),
            Reply::Result(raw) if name.starts_with("reply-batch") => Ok(Batch::read(raw)?.encode_reply()),
            Reply::Result(raw) if name.starts_with("reply-taken") => Reply::encode_result(&raw.to::<Taken>()?),
            Reply::Result(raw) => Reply::encode_result(&raw.to::<Value>()?),
            Reply::Stream(opened) => Reply::encode_stream(&opened),
            Reply::Error(fault) => Ok(Reply::encode_error(&fault)),
        },
        "question" => Ok(Question::decode(bytes)?.encode()),
        "answer" => Answer::decode(bytes)?.encode(),
        other => panic!("{other} is no kind of message"),
    }
}

/// Builds a message from its meaning alone and writes it.
fn build(name: &str, meaning: &Value) -> Vec<u8> {
    let number = |field: &str| meaning[field].as_u64().unwrap();
    match name.split('-').next().unwrap() {
        "request" => {
            let meta = meaning.get("meta").map(|meta| match meta["depth"].as_u64() {
                Some(depth) => trail(depth, meta).write().unwrap(),
                None => to_vec(meta).unwrap(),
            });
            let mut head =
                RequestHead::new(meaning["method"].as_str().unwrap(), Duration::from_millis(number("ttl_ms")));
            head.id = meaning["id"].as_str();
            head.instance = meaning["instance"].as_str();
            head.meta = meta.as_deref().map(|bytes| Raw::new(bytes).unwrap());
            let params = &meaning["params"];
            match head.method {
                "$next" => head.encode(&Next::deserialize(params).unwrap()).unwrap(),
                "$put" => head.encode_raw(Raw::new(&put(params)).unwrap()),
                "$close" => head.encode(&Close::deserialize(params).unwrap()).unwrap(),
                _ => head.encode(params).unwrap(),
            }
        }
        "reply" => {
            let result = meaning["result"].clone();
            match name {
                _ if name.starts_with("reply-batch") => Ok(batch(&result)),
                _ if name.starts_with("reply-taken") => {
                    Reply::encode_result(&serde_json::from_value::<Taken>(result).unwrap())
                }
                _ if name.starts_with("reply-stream") => {
                    Reply::encode_stream(&Opened::deserialize(&meaning["stream"]).unwrap())
                }
                // These results are messages of the protocol: their fields have an order of their own.
                "reply-info" | "reply-info-described" => {
                    Reply::encode_result(&serde_json::from_value::<Info>(result).unwrap())
                }
                "reply-stats" => Reply::encode_result(&serde_json::from_value::<Load>(result).unwrap()),
                "reply-stats-methods" => Reply::encode_result(&serde_json::from_value::<Stats>(result).unwrap()),
                _ => Reply::encode_result(&result),
            }
            .unwrap()
        }
        "error" => Reply::encode_error(&fault(&meaning["error"])),
        "question" => Question::new(number("round"), want(&meaning["want"])).encode(),
        "answer" => {
            let mut answer = Answer::new(
                &Question::new(number("round"), Want::Ping),
                meaning["name"].as_str().unwrap(),
                meaning["instance"].as_str().unwrap(),
                serde_json::from_value(meaning["state"].clone()).unwrap(),
            );
            answer.pid = number("pid").try_into().unwrap();
            answer.load = serde_json::from_value(meaning.clone()).unwrap();
            answer.info = meaning.get("info").map(|info| serde_json::from_value(info.clone()).unwrap());
            answer.encode().unwrap()
        }
        other => panic!("{other} is no kind of message"),
    }
}

/// Where a call comes from that is nested so deep.
fn trail(depth: u64, meaning: &Value) -> Trail {
    let instances: Vec<_> = meaning["trail"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut trail = instances.iter().fold(Trail::default(), |trail, instance| trail.nested(instance));
    trail.traceparent = meaning["traceparent"].as_str().map(str::to_owned);
    assert_eq!(u64::from(trail.depth()), depth);
    trail
}

/// Items of a stream as their bytes.
fn values(items: &Value) -> (u32, Vec<u8>) {
    let items = items.as_array().unwrap();
    (items.len().try_into().unwrap(), items.iter().flat_map(|item| to_vec(item).unwrap()).collect())
}

fn put(meaning: &Value) -> Vec<u8> {
    let (count, values) = values(&meaning["items"]);
    Put {
        stream: meaning["stream"].as_str().unwrap(),
        from: meaning["from"].as_u64(),
        items: Items::new(count, &values),
        end: meaning["end"] == true,
        keep_ms: meaning["keep_ms"].as_u64(),
    }
    .encode()
}

fn batch(meaning: &Value) -> Vec<u8> {
    let (count, values) = values(&meaning["items"]);
    let failed = meaning.get("error").map(|error| Err(fault(error)));
    Batch {
        from: meaning["from"].as_u64().unwrap(),
        items: Items::new(count, &values),
        progress: meaning.get("progress").map(|progress| serde_json::from_value(progress.clone()).unwrap()),
        end: failed.or_else(|| (meaning["end"] == true).then_some(Ok(()))),
    }
    .encode_reply()
}

fn want(name: &Value) -> Want {
    serde_json::from_value(name.clone()).unwrap()
}

fn fault(meaning: &Value) -> Fault {
    let code = match meaning["code"].as_str().unwrap() {
        "no_method" => Code::NoMethod,
        "failed" => Code::Failed,
        other => panic!("no golden error has the code {other} yet"),
    };
    let mut fault = Fault::new(code, meaning["message"].as_str().unwrap());
    fault.data = meaning.get("data").map(|data| to_vec(data).unwrap());
    fault
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn what_is_written_and_read_never_changes() {
    for Golden { name, bytes, beside } in messages("both") {
        assert_eq!(hex(&build(&name, &beside)), hex(&bytes), "{name} is written otherwise");
        assert_eq!(plugbus::wire::from_slice::<Value>(&bytes).unwrap(), beside, "{name} means something else");
        assert_eq!(hex(&rewrite(&name, &bytes).unwrap()), hex(&bytes), "{name} is read otherwise");
    }
}

#[test]
fn what_others_may_write_is_understood() {
    for Golden { name, bytes, beside } in messages("read") {
        let understood = rewrite(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plugbus::wire::from_slice::<Value>(&understood).unwrap(), beside, "{name}");
    }
}

#[test]
fn what_breaks_the_rules_is_refused_by_name() {
    for Golden { name, bytes, beside } in messages("refused") {
        let error = rewrite(&name, &bytes).expect_err(&name);
        let code = if matches!(error, CodecError::Version(_)) { "protocol" } else { "bad_message" };
        assert_eq!(beside["code"], code, "{name}");
        if let Some(why) = beside.get("why") {
            assert_eq!(*why, error.to_string(), "{name}");
        }
    }
}

fn protocol_md() -> String {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md"))
}

/// The fenced blocks of a document: info string and body.
fn fences(document: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), false) => {
                found.push((info.trim().to_owned(), String::new()));
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => {
                let body = &mut found.last_mut().unwrap().1;
                body.push_str(line);
                body.push('\n');
            }
            (None, false) => {}
        }
    }
    found
}

#[test]
fn every_example_of_the_protocol_text_is_golden() {
    let document = protocol_md();
    let mut shown = 0;
    for (info, body) in fences(&document) {
        let Some(name) = info.strip_prefix("hex").map(str::trim) else { continue };
        let path = folder(name).with_extension("hex");
        let link = format!("[`{name}.hex`](../tests/golden/{name}.hex)\n\n```hex {name}\n");
        assert!(document.contains(&link), "the name {name} does not stand above its example");
        assert_eq!(body, read(&path), "docs/protocol.md and {} differ", path.display());
        shown += 1;
    }
    assert!(shown >= 12, "only {shown} examples are marked as golden");
}

#[test]
fn the_card_of_the_protocol_text_is_a_card() {
    let fences = fences(&protocol_md());
    let (_, text) = fences.iter().find(|(info, _)| info == "json card").expect("a card");
    let card: plugbus::bus::Card = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&card).unwrap(), serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn the_protocol_text_promises_what_the_codes_promise() {
    let document = protocol_md();
    let table = document.split("## Error codes").nth(1).expect("a section on error codes");
    let mut promises = BTreeMap::new();
    for row in table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if let Some(code) = cells[1].strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            promises.insert(code.to_owned(), cells[2].to_owned());
        }
    }
    assert_eq!(promises.len(), 12, "{promises:?}");
    for (name, ran) in promises {
        let error = to_vec(&json!({"v": 1, "error": {"code": name, "message": ""}})).unwrap();
        let Ok(Reply::Error(fault)) = Reply::decode(&error) else { panic!("{name} is no error") };
        assert_eq!(fault.code.as_str(), name, "not in the set");
        assert_eq!(ran == "no", fault.code.not_started(), "{name}: ran is {ran:?} in the text");
    }
}

#[test]
fn the_protocol_text_names_the_limits_in_force() {
    use plugbus::wire::{DEFAULT_TTL, MAX_DEPTH, MAX_MESSAGE, MAX_METHOD, MAX_NAME, MAX_TTL};
    let document = protocol_md();
    for limit in [
        format!("{MAX_MESSAGE} bytes"),
        format!("{MAX_DEPTH} levels"),
        format!("at most {MAX_NAME} bytes"),
        format!("at most {MAX_METHOD} bytes"),
        format!("{} ms", DEFAULT_TTL.as_millis()),
        format!("{} ms", MAX_TTL.as_millis()),
    ] {
        assert!(document.contains(&limit), "{limit} does not stand in docs/protocol.md");
    }
}
