//! A trait that is both sides' of a plugin: what the author implements is what callers call.

use std::thread;

use plugbus::bus::{BusDir, Card, ProcessId, new_instance};
use plugbus::host::{CallError, blocking};
use plugbus::plugin::{Context, Failure, Input, Items, Server};
use plugbus::wire::{Code, PROTOCOL};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Mood {
    Calm,
    Loud { times: u8 },
}

/// Says things.
#[plugbus::interface(name = "speaker")]
trait Speech {
    /// Says something
    /// in a mood.
    #[idempotent]
    #[typical("2ms")]
    async fn say(
        &self,
        /// The words.
        text: String,
        mood: Mood,
        context: Context,
        implementation: Option<u8>,
    ) -> Result<Vec<String>, Failure>;

    /// One argument travels as itself.
    fn length(&self, text: String) -> Result<usize, std::num::ParseIntError>;

    fn moods(&self) -> Result<Vec<Mood>, Failure>;

    /// Says it again and again.
    fn echo(&self, text: String, times: u32) -> Result<Items<String>, Failure>;

    /// How many letters each has.
    async fn lengths(&self, texts: Input<String>) -> Result<Items<usize>, Failure>;

    fn longest(&self, texts: Input<String>, context: Context) -> Result<String, Failure>;
}

struct Mine;

impl Speech for Mine {
    async fn say(
        &self,
        text: String,
        mood: Mood,
        context: Context,
        implementation: Option<u8>,
    ) -> Result<Vec<String>, Failure> {
        assert!(!context.is_cancelled());
        match mood {
            Mood::Calm => Ok(vec![text]),
            Mood::Loud { times: 0 } => Err(Failure::bad_params("never is not loud")),
            Mood::Loud { times } => Ok(vec![text.to_uppercase(); usize::from(times + implementation.unwrap_or(0))]),
        }
    }

    fn length(&self, text: String) -> Result<usize, std::num::ParseIntError> {
        text.parse::<i64>().map(|_| text.len())
    }

    fn moods(&self) -> Result<Vec<Mood>, Failure> {
        Ok(vec![Mood::Calm, Mood::Loud { times: 2 }])
    }

    fn echo(&self, text: String, times: u32) -> Result<Items<String>, Failure> {
        Ok(Items::of((0..times).map(move |_| text.clone())))
    }

    async fn lengths(&self, texts: Input<String>) -> Result<Items<usize>, Failure> {
        Ok(Items::try_of(texts.map(|text| text.map(|text| text.len()))))
    }

    fn longest(&self, texts: Input<String>, context: Context) -> Result<String, Failure> {
        assert!(!context.is_cancelled());
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        texts.into_iter().max_by_key(String::len).ok_or_else(|| Failure::new("nothing to compare"))
    }
}

/// The plugin on a bus of its own, in this process.
fn serve(bus: &BusDir) -> Server {
    bus.create().unwrap();
    let plugin = Mine.into_plugin("1.2.3");
    let (info, instance) = (plugin.info(), new_instance());
    let url = bus.endpoint("speaker", &instance).unwrap();
    let server = plugin.start("speaker", &instance, &url, None).unwrap();
    let (name, version, methods) = ("speaker".into(), info.version, info.methods);
    bus.publish(&Card {
        name,
        instance,
        version,
        process: ProcessId::own(),
        protocol: PROTOCOL,
        protocol_max: None,
        url: url.to_string(),
        methods,
    })
    .unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_and_author_share_a_trait() {
    let root = tempfile::tempdir().unwrap();
    let directory = BusDir::at(root.path().join("b"));
    let server = serve(&directory);
    let bus = plugbus::host::Bus::at(directory.path()).unwrap();
    let speech = SpeechClient::new(&bus);
    assert_eq!(speech.say("hello", Mood::Calm, None).await.unwrap(), ["hello"]);
    assert_eq!(speech.say("hello", Mood::Loud { times: 1 }, Some(1)).await.unwrap(), ["HELLO", "HELLO"]);
    assert_eq!(speech.moods().await.unwrap(), [Mood::Calm, Mood::Loud { times: 2 }]);
    match speech.say("", Mood::Loud { times: 0 }, None).await.unwrap_err() {
        CallError::Plugin { fault, .. } => assert_eq!(fault.code, Code::BadParams),
        other => panic!("{other}"),
    }
    let elsewhere = speech.clone().plugin("nobody").moods().await;
    assert!(matches!(elsewhere, Err(CallError::NoSuchPlugin { .. })), "{elsewhere:?}");
    let blocking = move || {
        let speech = BlockingSpeechClient::new(&blocking::Bus::at(directory.path()).unwrap());
        assert_eq!(speech.length("-12").unwrap(), 3);
        assert!(matches!(speech.length(String::from("x")), Err(CallError::Plugin { .. })));
    };
    thread::spawn(blocking).join().unwrap();
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_come_and_go_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let directory = BusDir::at(root.path().join("b"));
    let server = serve(&directory);
    let speech = SpeechClient::new(&plugbus::host::Bus::at(directory.path()).unwrap());
    let mut echo = speech.echo("ab", 3).await.unwrap();
    for _ in 0..3 {
        assert_eq!(echo.next().await.unwrap().unwrap(), "ab");
    }
    assert!(echo.next().await.is_none());
    let (mut texts, mut lengths) = speech.lengths().await.unwrap();
    for text in ["a", "abc"] {
        texts.send(&text.to_owned()).await.unwrap();
        assert_eq!(lengths.next().await.unwrap().unwrap(), text.len());
    }
    texts.end().await.unwrap();
    assert!(lengths.next().await.is_none());
    let blocking = move || {
        let speech = BlockingSpeechClient::new(&blocking::Bus::at(directory.path()).unwrap());
        let echo: Vec<String> = speech.echo("cd", 2).unwrap().map(Result::unwrap).collect();
        assert_eq!(echo, ["cd", "cd"]);
        let (mut texts, longest) = speech.longest().unwrap();
        texts.send_all(&["a".to_owned(), "abc".to_owned(), "ab".to_owned()]).unwrap();
        texts.end().unwrap();
        assert_eq!(longest.only().unwrap(), "abc");
    };
    thread::spawn(blocking).join().unwrap();
    drop(server);
}

#[test]
fn a_trait_describes_its_methods() {
    let info = Mine.into_plugin("1.2.3").info();
    let methods = serde_json::to_value(&info.methods).unwrap();
    let names: Vec<_> = info.methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["echo", "length", "lengths", "longest", "moods", "say"]);
    let say = &methods[5];
    assert_eq!((&say["doc"], &say["idempotent"]), (&json!("Says something in a mood."), &json!(true)));
    assert_eq!(say["typical_ms"], 2);
    assert_eq!(say["params"]["required"], json!(["text", "mood"]));
    assert_eq!(say["params"]["properties"]["text"], json!({"type": "string", "description": "The words."}));
    assert_eq!(say["params"]["properties"].as_object().unwrap().len(), 3, "the context is nobody's to give");
    assert_eq!(say["result"], json!({"type": "array", "items": {"type": "string"}}));
    assert_eq!(methods[4]["params"], json!({"type": "null"}));
    assert_eq!(methods[4]["result"]["items"]["title"], "Mood");
    // Of items, what each of them is.
    let lengths = &methods[2];
    assert_eq!((&lengths["streams"], &lengths["params"]["type"]), (&json!("both"), &json!("string")));
    assert_eq!(lengths["result"]["type"], "integer");
}
