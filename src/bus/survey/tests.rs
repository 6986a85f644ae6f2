//! Surveys and events, on each lane and between the two.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Publisher, Respondent, Surveyor};
use crate::bus::traps::{LANES, LONG, PAIRS, Place};
use crate::bus::{Endpoint, Guests, Lane, PeerEvent, Subscriber, block_on};
use crate::wire::MAX_MESSAGE;

fn survey(lane: Lane, endpoint: &Endpoint) -> (Surveyor, mpsc::Receiver<PeerEvent>) {
    Surveyor::listen_for(lane, endpoint, &Guests::default()).unwrap()
}

fn own_pid() -> u32 {
    std::process::id()
}

#[test]
fn more_than_128_answers_to_one_survey_all_arrive() {
    const CROWD: usize = 140;
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("survey");
        let (mut surveyor, mut events) = survey(from, &endpoint);
        let crowd: Vec<_> = (0..CROWD).map(|_| Respondent::dial_on(to, &endpoint).unwrap()).collect();
        block_on(async {
            for _ in 0..CROWD {
                assert!(matches!(events.recv().await, Some(PeerEvent::Joined(peer)) if peer.pid == Some(own_pid())));
            }
        });
        thread::scope(|scope| {
            // All read the question before the first answers, so that the answers come in one burst.
            let barrier = std::sync::Arc::new(std::sync::Barrier::new(CROWD));
            let (heard, until_heard) = tokio::sync::watch::channel(());
            for mut respondent in crowd {
                let (barrier, mut until_heard) = (barrier.clone(), until_heard.clone());
                scope.spawn(move || {
                    let question = block_on(respondent.next()).unwrap();
                    barrier.wait();
                    let body = question.body().to_vec();
                    question.reply(&body);
                    let _ = block_on(until_heard.changed());
                });
            }
            block_on(async {
                let mut answers = surveyor.survey(b"who?", LONG).await.unwrap();
                for nth in 0..CROWD {
                    let answer = answers.next().await;
                    assert!(answer.is_some_and(|(_, body)| *body == *b"who?"), "{from:?}, {to:?}: {nth} of {CROWD}");
                }
            });
            drop(heard);
        });
    }
}

#[test]
fn a_round_ends_with_its_window_and_the_next_one_has_a_window_of_its_own() {
    for lane in LANES {
        let place = Place::new();
        let endpoint = place.endpoint("survey");
        let (mut surveyor, mut events) = survey(lane, &endpoint);
        for _ in 0..3 {
            let nobody = block_on(async {
                let mut answers = surveyor.survey(b"anybody?", Duration::from_millis(20)).await.unwrap();
                answers.next().await.is_none()
            });
            assert!(nobody, "{lane:?}");
        }
        let mut late = Respondent::dial_on(lane, &endpoint).unwrap();
        assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))));
        // Given up before its time is over.
        drop(block_on(surveyor.survey(b"first", Duration::from_millis(20))).unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                let (first, second) = block_on(async { (late.next().await.unwrap(), late.next().await.unwrap()) });
                let until = Instant::now() + Duration::from_millis(100);
                while Instant::now() < until {
                    thread::yield_now();
                }
                first.reply(b"to the first");
                second.reply(b"to the second");
            });
            block_on(async {
                let asked = Instant::now();
                let mut answers = surveyor.survey(b"second", LONG).await.unwrap();
                let answer = answers.next().await.map(|(_, body)| body.to_vec());
                // The answer to the first came too late, and the time of the first is not that of the second.
                assert_eq!(answer.as_deref(), Some(&b"to the second"[..]), "{lane:?}, {:?}", asked.elapsed());
            });
        });
    }
}

#[test]
fn a_respondent_finds_the_next_surveyor_and_is_gone_when_it_is_dropped() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("survey");
        let mut respondent = Respondent::dial_on(to, &endpoint).unwrap();
        for _ in 0..3 {
            let (mut surveyor, mut events) = survey(from, &endpoint);
            assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))), "{from:?}, {to:?}");
            block_on(async {
                let mut answers = surveyor.survey(b"there?", LONG).await.unwrap();
                let question = respondent.next().await.unwrap();
                let (peer, departed) = (question.peer(), question.departed());
                assert_eq!(peer.pid, Some(own_pid()));
                question.reply(b"here");
                assert_eq!(*answers.next().await.unwrap().1, *b"here");
                drop(answers);
                drop(surveyor);
                departed.await;
            });
            // The next one listens at the same place, and this one does not take its file away.
            while block_on(events.recv()).is_some() {}
            assert!(!endpoint.path().exists());
        }
        let (_surveyor, mut events) = survey(from, &endpoint);
        assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))));
        drop(respondent);
        assert!(matches!(block_on(events.recv()), Some(PeerEvent::Left(_))), "{from:?}, {to:?}");
    }
}

#[test]
fn an_answer_that_is_larger_than_a_socket_takes_arrives() {
    let large = vec![7; MAX_MESSAGE - 64];
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("survey");
        let (mut surveyor, mut events) = survey(from, &endpoint);
        let mut respondent = Respondent::dial_on(to, &endpoint).unwrap();
        assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))));
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2 {
                    block_on(respondent.next()).unwrap().reply(&large);
                }
            });
            for _ in 0..2 {
                let arrived = block_on(async {
                    surveyor
                        .survey(b"all?", LONG)
                        .await
                        .unwrap()
                        .next()
                        .await
                        .is_some_and(|(_, body)| *body == *large)
                });
                assert!(arrived, "{from:?}, {to:?}");
            }
        });
    }
}

#[test]
fn one_who_does_not_read_misses_questions_and_events_and_holds_nobody_up() {
    for lane in LANES {
        let place = Place::new();
        let endpoint = place.endpoint("survey");
        let (mut surveyor, mut events) = survey(lane, &endpoint);
        let publisher = Publisher::listen_on(lane, &place.endpoint("events")).unwrap();
        let deaf = [("survey", 0x63), ("events", 0x21)].map(|(at, role)| {
            let mut stream = UnixStream::connect(place.endpoint(at).path()).unwrap();
            stream.write_all(&[0, b'S', b'P', 0, 0, role, 0, 0]).unwrap();
            stream
        });
        let mut listens = Respondent::dial_on(Lane::Direct, &endpoint).unwrap();
        for _ in 0..2 {
            assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))));
        }
        let question = vec![7; 100_000];
        for _ in 0..50 {
            publisher.publish(&question);
            block_on(async {
                let mut answers = surveyor.survey(&question, LONG).await.unwrap();
                listens.next().await.unwrap().reply(b"here");
                assert_eq!(*answers.next().await.unwrap().1, *b"here", "{lane:?}");
            });
        }
        drop(deaf);
        publisher.close();
    }
}

/// Publishes until it is heard: right after the connect, the publisher may not know of it yet.
pub(in crate::bus) async fn heard(publisher: &Publisher, subscriber: &mut Subscriber, message: &[u8]) {
    let hearing = async {
        loop {
            publisher.publish(message);
            let patience = Duration::from_millis(20);
            if let Ok(Some(body)) = tokio::time::timeout(patience, subscriber.next()).await
                && &*body == message
            {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, hearing).await.expect("it is heard");
}

#[tokio::test]
async fn a_subscriber_hears_everything_in_order_and_finds_the_next_publisher() {
    for (from, to) in PAIRS {
        let place = Place::new();
        let endpoint = place.endpoint("events");
        let mut subscriber = Subscriber::dial_on(to, &endpoint).unwrap();
        for _ in 0..2 {
            let publisher = Publisher::listen_on(from, &endpoint).unwrap();
            heard(&publisher, &mut subscriber, b"hello").await;
            for number in 0..300_u32 {
                publisher.publish(&number.to_be_bytes());
            }
            let mut expected = 0;
            while expected < 300 {
                let body = tokio::time::timeout(LONG, subscriber.next()).await.unwrap().unwrap();
                if &*body != b"hello" {
                    assert_eq!(*body, u32::to_be_bytes(expected), "{from:?}, {to:?}");
                    expected += 1;
                }
            }
            publisher.close();
            assert!(!endpoint.path().exists());
        }
    }
}

#[tokio::test]
async fn one_who_does_not_read_holds_nobody_up_and_who_goes_leaves_others_alone() {
    let place = Place::new();
    let endpoint = place.endpoint("events");
    let publisher = Publisher::listen_on(Lane::Direct, &endpoint).unwrap();
    let dial = || Subscriber::dial_on(Lane::Direct, &endpoint).unwrap();
    let (_asleep, mut awake) = (dial(), dial());
    heard(&publisher, &mut awake, b"first").await;
    for _ in 0..20 {
        let mut short_lived = dial();
        heard(&publisher, &mut short_lived, b"passing").await;
        (0..100).for_each(|_| publisher.publish(&[b'x'; 10_000]));
    }
    let begun = Instant::now();
    (0..10_000).for_each(|_| publisher.publish(&[b'x'; 1000]));
    assert!(begun.elapsed() < LONG);
    heard(&publisher, &mut awake, b"last").await;
    assert!(awake.is_connected());
    publisher.close();
}

#[test]
fn who_does_not_greet_or_speaks_another_protocol_is_hung_up_on() {
    let place = Place::new();
    let (_surveyor, mut events) = survey(Lane::Direct, &place.endpoint("survey"));
    let _publisher = Publisher::listen_on(Lane::Direct, &place.endpoint("events")).unwrap();
    // Nothing, a part of a greeting, that of another role, and what is no frame behind the right one.
    let said: [&[u8]; 4] = [b"", b"\0SP\0", b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x63\0\0\x07 is no frame"];
    let streams = said.iter().flat_map(|said| {
        ["survey", "events"].map(|at| {
            let mut stream = UnixStream::connect(place.endpoint(at).path()).unwrap();
            stream.write_all(said).unwrap();
            stream
        })
    });
    for (nth, mut stream) in streams.collect::<Vec<_>>().into_iter().enumerate() {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut told = Vec::new();
        if let Err(error) = stream.read_to_end(&mut told) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "number {nth} is still open");
        }
        assert!(told.len() <= 8, "more than a greeting: {told:?}");
    }
    // Only the last one had greeted the surveyor.
    assert!(matches!(block_on(events.recv()), Some(PeerEvent::Joined(_))));
    assert!(matches!(block_on(events.recv()), Some(PeerEvent::Left(_))));
    assert!(events.try_recv().is_err());
}
