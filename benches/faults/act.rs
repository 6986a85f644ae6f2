//! The plugins that faults are done to: this program, started by a supervisor.

use std::io::{BufWriter, Write};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plugbus::bus::{Replier, Respondent};
use plugbus::plugin::{Context, Failure, Plugin};
use plugbus::wire::{Answer, Info, Phase, Question, Reply, Want};

/// What the program is to act as, when it is one of the plugins.
pub(crate) const ACT: &str = "FAULTS_ACT";

/// The socket that is told of every start, before anything else is done.
pub(crate) const BEACON: &str = "FAULTS_BEACON";

pub(crate) fn wanted() -> bool {
    std::env::var_os(ACT).is_some()
}

/// The section of a plugin that acts so.
pub(crate) fn plugin(name: &str, act: &str, more: &str) -> String {
    let own = std::env::current_exe().unwrap();
    // A debug build of this very program is large, and to hash it at each start would be what is measured there.
    let trust = if cfg!(debug_assertions) { "trust = 'any'\n" } else { "" };
    crate::support::plugin(name, &[own.to_str().unwrap()], &format!("{trust}env.{ACT} = '{act}'\n{more}"))
}

pub(crate) fn run() -> ExitCode {
    if let Some(beacon) = std::env::var_os(BEACON) {
        let socket = UnixDatagram::unbound().unwrap();
        let _ = socket.send_to(&std::process::id().to_le_bytes(), beacon);
    }
    match std::env::var(ACT).unwrap().as_str() {
        "crash" => ExitCode::from(3),
        "beacon" => loop {
            std::thread::park();
        },
        "deaf to calls" => by_hand(Ear { calls: false, surveys: u64::MAX, delay: Duration::ZERO }),
        "deaf to surveys" => by_hand(Ear { calls: true, surveys: 3, delay: Duration::ZERO }),
        "slow to answer" => {
            let delay = std::env::var("FAULTS_DELAY").unwrap().parse().unwrap();
            by_hand(Ear { calls: true, surveys: u64::MAX, delay: Duration::from_millis(delay) })
        }
        _ => serve(),
    }
}

/// What a plugin that speaks by hand hears.
struct Ear {
    calls: bool,
    /// How many surveys it answers before it falls silent.
    surveys: u64,
    delay: Duration,
}

fn by_hand(ear: Ear) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let given = |name| std::env::var(name).unwrap();
        let mut replier = Replier::listen(&given("PLUGBUS_CALL_URL").parse().unwrap(), 16).unwrap();
        let mut respondent = Respondent::dial(&given("PLUGBUS_SURVEY_URL").parse().unwrap()).unwrap();
        tokio::spawn(async move {
            let mut answered = 0;
            while let Some(question) = respondent.next().await {
                let asked = Question::decode(question.body()).unwrap();
                if answered == ear.surveys {
                    continue;
                }
                answered += 1;
                let mut answer =
                    Answer::new(&asked, &given("PLUGBUS_NAME"), &given("PLUGBUS_INSTANCE"), Phase::Ready);
                answer.info = (asked.want == Want::Info).then(Info::default);
                // Each after its own delay: whoever is slow to one question must not be slower to the next.
                tokio::spawn(async move {
                    tokio::time::sleep(ear.delay).await;
                    question.reply(&answer.encode().unwrap());
                });
            }
        });
        if ear.calls {
            while let Some(call) = replier.next().await {
                call.reply(&Reply::encode_result(&"heard").unwrap());
            }
        }
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

fn print_lines(lines: u64) -> Result<u64, Failure> {
    let begun = Instant::now();
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    for number in 0..lines {
        writeln!(out, "{:.<99}", format!("line {number} "))?;
    }
    out.flush()?;
    Ok(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
}

fn serve() -> ExitCode {
    let wait = |ms: u64, context: Context| async move {
        let _ = context;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, Failure>(ms)
    };
    let plugin = Plugin::new("fault", "1.0.0")
        .method("echo", "Gives back what it is given.", |text: String| Ok::<_, Failure>(text))
        .method("print", "Prints that many numbered lines of 100 bytes, as fast as it can.", print_lines)
        .method_async("wait", "Waits that many milliseconds.", wait)
        .method("spin", "Never returns, and takes a whole core.", |(): ()| -> Result<(), Failure> {
            loop {
                std::hint::spin_loop();
            }
        });
    match plugin.serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
