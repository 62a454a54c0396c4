//! What is read of a body: up to its method's limit, within the room of all requests, and not for ever.

use crate::world::{MIB, World, message, prefix, refused, upload};
use futures::FutureExt;
use millstream_door::{GateSettings, RoomsSettings};
use std::pin::pin;
use std::time::Duration;
use tokio::task::yield_now;
use tonic::Code;

const CREATE_KEY: &str = "/millstream.control.v1.Keys/CreateKey";
const PRODUCE: &str = "/millstream.data.v1.Data/Produce";

#[tokio::test]
async fn more_than_the_method_takes_is_refused_when_it_is_announced() {
    let world = World::new();
    let header = world.header();
    let cases = [
        (CREATE_KEY, 31 * MIB, "Keys/CreateKey has at most 1048576 bytes"),
        (PRODUCE, 33 * MIB, "Data/Produce has at most 33554432 bytes"),
        (
            "/millstream.sql.v1.Sql/Execute",
            MIB,
            "Sql/Execute has at most 524288 bytes",
        ),
        (
            "/grpc.health.v1.Health/Check",
            5000,
            "Health/Check has at most 1024 bytes",
        ),
    ];
    for (path, bytes, said) in cases {
        let (upload, body) = upload();
        upload.send(&prefix(bytes)[..3]);
        upload.send(&prefix(bytes)[3..]);
        let answer = world
            .call(path, Some(&header), body)
            .now_or_never()
            .expect("at once");
        let (code, text) = refused(&answer);
        assert_eq!(code, Code::ResourceExhausted, "{text}");
        assert!(text.contains(said), "{text}");
        assert!(upload.is_dropped(), "the rest is not read");
    }
}

#[tokio::test]
async fn more_than_was_announced_is_refused_too() {
    let world = World::new();
    let (upload, body) = upload();
    upload.send(&message(10));
    for _ in 0..9 {
        upload.send(&vec![0; MIB / 8]);
    }
    let header = world.header();
    let answer = world
        .call(CREATE_KEY, Some(&header), body)
        .now_or_never()
        .expect("at once");
    assert_eq!(refused(&answer).0, Code::ResourceExhausted);
    assert!(world.came.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_brings_next_to_nothing_is_not_waited_for() {
    let world = World::new();
    let header = world.header();
    let (silent, body) = upload();
    silent.send(&prefix(MIB)[..4]);
    let (code, text) = refused(&world.call(PRODUCE, Some(&header), body).await);
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("64 KiB") && text.contains("30s"), "{text}");

    // A byte now and then is next to nothing.
    let (trickle, body) = upload();
    let call = world.call(PRODUCE, Some(&header), body);
    let trickling = async {
        for byte in prefix(MIB) {
            trickle.send(&[byte]);
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
        loop {
            trickle.send(&[0; 100]);
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    };
    tokio::select! {
        answer = call => assert_eq!(refused(&answer).0, Code::DeadlineExceeded),
        () = trickling => {}
    }

    // Slow is slow, but it has an end as a whole.
    let (slow, body) = upload();
    let call = world.call(PRODUCE, Some(&header), body);
    let sending = async {
        slow.send(&prefix(32 * MIB));
        loop {
            slow.send(&[0; 65536]);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    };
    tokio::select! {
        answer = call => assert_eq!(refused(&answer).0, Code::DeadlineExceeded),
        () = sending => {}
    }
    assert!(world.came.lock().is_empty());
    assert!(
        world
            .metrics()
            .contains("grpc_gate_refused_total{reason=\"stalled\"} 3")
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_read_to_its_end() {
    let world = World::new();
    let header = world.header();
    let (slow, body) = upload();
    let call = world.call(PRODUCE, Some(&header), body);
    let sending = async {
        let sent = message(MIB);
        for piece in sent.chunks(128 * 1024) {
            slow.send(piece);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        drop(slow);
    };
    let (answer, ()) = tokio::join!(call, sending);
    assert_eq!(refused(&answer).0, Code::Ok);
    assert_eq!(world.came.lock()[0].2, message(MIB));
}

#[tokio::test]
async fn room_is_taken_as_bytes_arrive_and_given_back() {
    let world = World::new();
    let header = world.header();
    let (upload, body) = upload();
    let mut call = pin!(world.call(PRODUCE, Some(&header), body));
    upload.send(&prefix(4 * MIB));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(world.used(), 5, "what was announced holds nothing");
    upload.send(&vec![0; MIB]);
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(world.used(), 5 + MIB);
    for _ in 0..3 {
        upload.send(&vec![0; MIB]);
    }
    drop(upload);
    assert_eq!(refused(&call.await).0, Code::Ok);
    assert_eq!(world.used(), 0);

    // Who goes away gives it back as well.
    let (gone, body) = crate::world::upload();
    {
        let mut call = pin!(world.call(PRODUCE, Some(&header), body));
        gone.send(&message(MIB)[..100_000]);
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!(world.used(), 100_000);
    }
    assert_eq!(world.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn unfinished_bodies_do_not_keep_a_whole_one_waiting_for_ever() {
    let rooms = RoomsSettings {
        tenants_bytes_max: 8 * MIB,
        ..RoomsSettings::default()
    };
    // The room's patience is shorter than the body's.
    let world = World::with(GateSettings::default(), rooms);
    let header = world.header();
    let mut unfinished = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..4 {
        let (upload, body) = upload();
        upload.send(&message(4 * MIB)[..2 * MIB - 1]);
        unfinished.push(upload);
        let mut call = Box::pin(world.call(PRODUCE, Some(&header), body));
        assert!(call.as_mut().now_or_never().is_none());
        calls.push(call);
    }
    let (upload, body) = upload();
    upload.send(&message(MIB));
    drop(upload);
    let whole = world.call(PRODUCE, Some(&header), body);
    let others = futures::future::join_all(calls);
    let (answer, others) = tokio::join!(whole, others);
    assert_eq!(refused(&answer).0, Code::Ok);
    yield_now().await;
    for answer in others {
        let (code, text) = refused(&answer);
        assert!(
            [Code::Unavailable, Code::DeadlineExceeded].contains(&code),
            "{code:?} {text}"
        );
    }
    assert_eq!(world.used(), 0);
}
