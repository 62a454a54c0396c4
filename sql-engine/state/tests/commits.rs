//! The commit machine: what it says to what happens, word for word.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use millstream_model::limits::{SQL_CLOSE_RUNS_MAX, SQL_FLUSH_AFTER_MS, SQL_FLUSH_BYTES};
use millstream_model::{Offset, OwnerEpoch};
use millstream_state::{
    CommitInput, CommitOutput, Commits, Layer, Planted, RunId, StateWrite, StopReason, Tag, cut,
};

const PIECE: usize = 64;

fn id(epoch: u64, number: u64) -> RunId {
    RunId {
        epoch: OwnerEpoch(epoch),
        number,
    }
}

fn tag(end: i64, epoch: u64, number: u64) -> Tag {
    Tag {
        end: Offset(end),
        last: id(epoch, number),
    }
}

fn put(key: &str, bytes: usize) -> StateWrite {
    StateWrite {
        key: key.into(),
        value: Some(vec![7; bytes]),
    }
}

fn fenced(epoch: u64, start: i64, end: i64) -> CommitInput {
    CommitInput::Fenced {
        epoch: OwnerEpoch(epoch),
        start: Offset(start),
        end: Offset(end),
    }
}

fn append(epoch: u64, piece: &Bytes) -> Vec<CommitOutput> {
    vec![CommitOutput::Append {
        epoch: OwnerEpoch(epoch),
        piece: piece.clone(),
    }]
}

/// Open under epoch 5, with an empty changelog that ends at 10.
fn ready() -> Commits {
    let mut commits = Commits::with(Planted::default(), PIECE);
    assert_eq!(commits.step(CommitInput::Open), [CommitOutput::Fence]);
    assert_eq!(commits.step(fenced(5, 10, 10)), [CommitOutput::OpenDatabase]);
    let tag = Some(tag(10, 4, 7));
    assert_eq!(commits.step(CommitInput::Opened { tag }), [CommitOutput::Ready]);
    assert_eq!(commits.number(), 7);
    commits
}

fn keys(commits: &Commits) -> Vec<Bytes> {
    commits
        .committed(b"", Vec::new())
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

#[test]
fn it_opens_by_fence_tag_and_replay_to_the_end_that_the_fence_found() {
    let mut commits = Commits::new();
    commits.step(CommitInput::Open);
    commits.step(fenced(5, 3, 7));
    let opened = commits.step(CommitInput::Opened {
        tag: Some(tag(4, 2, 1)),
    });
    assert_eq!(opened, [CommitOutput::Read { from: Offset(4) }]);
    let mut pieces = cut(id(4, 2), &[put("a", 1)], PIECE);
    pieces.extend(cut(id(4, 3), &[put("b", 100)], PIECE));
    assert_eq!(pieces.len(), 4);
    let first = CommitInput::Read {
        pieces: pieces[..1].to_vec(),
        next: Offset(5),
    };
    assert_eq!(commits.step(first), [CommitOutput::Read { from: Offset(5) }]);
    // The last run has no end: its owner was killed.
    let read = CommitInput::Read {
        pieces: pieces[1..3].to_vec(),
        next: Offset(7),
    };
    assert_eq!(commits.step(read), [CommitOutput::Ready]);
    assert_eq!((commits.number(), keys(&commits)), (2, vec![Bytes::from("a")]));
}

/// A read brings more than the fence found: somebody else has taken over and goes on already.
#[test]
fn what_lies_behind_the_fence_is_another_owners() {
    let mut commits = Commits::new();
    commits.step(CommitInput::Open);
    commits.step(fenced(5, 0, 1));
    commits.step(CommitInput::Opened { tag: None });
    let mut pieces = cut(id(4, 1), &[put("a", 1)], PIECE);
    pieces.extend(cut(id(6, 2), &[put("b", 100)], PIECE));
    let read = CommitInput::Read {
        pieces: pieces[..2].to_vec(),
        next: Offset(2),
    };
    assert_eq!(commits.step(read), [CommitOutput::Stop(StopReason::Fenced)]);
}

#[test]
fn what_cannot_be_is_not_opened() {
    let opened = |fence: CommitInput, tag: Option<Tag>| {
        let mut commits = Commits::new();
        commits.step(CommitInput::Open);
        commits.step(fence);
        let stopped = commits.step(CommitInput::Opened { tag });
        assert!(commits.step(CommitInput::Open).is_empty(), "it says nothing more");
        match stopped.as_slice() {
            [CommitOutput::Stop(reason)] => reason.clone(),
            other => panic!("{other:?}"),
        }
    };
    let damaged = |text: &str| StopReason::Damaged(text.to_owned());
    let cases = [
        (
            fenced(5, 9, 12),
            Some(tag(8, 4, 1)),
            damaged("it begins at 9, the state ends at 8"),
        ),
        (
            fenced(5, 9, 12),
            None,
            damaged("it begins at 9, the state ends at 0"),
        ),
        (
            fenced(5, 2, 6),
            Some(tag(7, 4, 1)),
            damaged("it ends at 6, the state knows it up to 7"),
        ),
        // Somebody fenced the changelog after us, and has flushed since.
        (fenced(5, 2, 6), Some(tag(7, 6, 1)), StopReason::Fenced),
    ];
    for (fence, tag, reason) in cases {
        assert_eq!(opened(fence, tag), reason);
    }
}

/// A mended journal keeps the offsets of what it lost, without records.
#[test]
fn what_the_changelog_has_lost_is_damage() {
    let read = |pieces: Vec<Bytes>, next: i64| {
        let mut commits = Commits::new();
        commits.step(CommitInput::Open);
        commits.step(fenced(5, 4, 7));
        let tag = Some(tag(4, 4, 7));
        commits.step(CommitInput::Opened { tag });
        let next = Offset(next);
        match commits.step(CommitInput::Read { pieces, next }).as_slice() {
            [CommitOutput::Stop(StopReason::Damaged(damage))] => damage.clone(),
            other => format!("{other:?}"),
        }
    };
    let run = |number| cut(id(4, number), &[put("a", 1)], PIECE);
    assert_eq!(read([run(8), run(9), run(10)].concat(), 7), "[Ready]");
    let lost = |brought: usize| format!("from offset 4 to 6 it brings {brought} pieces: the others are lost");
    // In the middle, and at the end, where no later commit tells.
    assert_eq!(read([run(8), run(10)].concat(), 7), lost(2));
    assert_eq!(read(run(8), 7), lost(1));
    assert_eq!(read(Vec::new(), 7), lost(0));
    let missing = "commit 10 follows commit 8: what lay between them is lost, between offsets 4 and 6";
    assert_eq!(read([run(8), run(10)].concat(), 6), missing);
}

/// What precedes the damage is made the whole, durably, before anything comes behind it; later commits are passed over.
#[test]
fn an_operator_goes_on_without_what_is_lost() {
    let run = |number| cut(id(4, number), &[put(&format!("{number}"), 1)], PIECE);
    let open = |tag: Tag| {
        let mut commits = Commits::new().accepting_loss(true);
        commits.step(CommitInput::Open);
        commits.step(fenced(5, 4, 9));
        let said = commits.step(CommitInput::Opened { tag: Some(tag) });
        (commits, said)
    };
    // In the middle of the changelog, at its end, and between it and the state.
    for (pieces, next, kept) in [
        ([run(8), run(10)].concat(), 7, 8),
        ([run(8), run(10)].concat(), 6, 8),
        (Vec::new(), 9, 7),
    ] {
        let (mut commits, _) = open(tag(4, 4, 7));
        let next = Offset(next);
        let said = commits.step(CommitInput::Read { pieces, next });
        let [
            CommitOutput::Accepted { .. },
            CommitOutput::Flush {
                changes,
                tag: written,
            },
        ] = said.as_slice()
        else {
            panic!("{said:?}")
        };
        assert_eq!(
            (*written, changes.len()),
            (tag(9, 4, kept), usize::from(kept > 7))
        );
        assert!(!commits.is_ready(), "not before it is durable");
        let said = commits.step(CommitInput::Flushed);
        assert_eq!(
            said,
            [CommitOutput::Trim { before: Offset(9) }, CommitOutput::Ready]
        );
        assert_eq!(commits.number(), kept);
        // The next life begins behind it all, with the number that follows.
        commit(&mut commits, put("new", 1), 9);
        assert_eq!(commits.number(), kept + 1);
        let mut next = Commits::new();
        next.step(CommitInput::Open);
        next.step(fenced(6, 9, 10));
        next.step(CommitInput::Opened { tag: Some(*written) });
        let pieces = cut(id(5, kept + 1), &[put("new", 1)], PIECE);
        let read = CommitInput::Read {
            pieces,
            next: Offset(10),
        };
        assert_eq!(next.step(read), [CommitOutput::Ready]);
    }
    // An object of the store that nobody has a copy of, behind a commit that is whole.
    let (mut commits, _) = open(tag(4, 4, 7));
    let next = Offset(5);
    let said = commits.step(CommitInput::Read { pieces: run(8), next });
    assert_eq!(said, [CommitOutput::Read { from: next }]);
    let damage = "it is gone".to_owned();
    let said = commits.step(CommitInput::Unread { damage });
    let [
        CommitOutput::Accepted { damage },
        CommitOutput::Flush { tag: written, .. },
    ] = said.as_slice()
    else {
        panic!("{said:?}")
    };
    assert_eq!(
        (damage.as_str(), *written),
        ("from offset 5 on it cannot be read: it is gone", tag(9, 4, 8))
    );
    let (_, said) = open(tag(2, 4, 7));
    assert!(matches!(
        said.as_slice(),
        [CommitOutput::Accepted { .. }, CommitOutput::Flush { .. }]
    ));
    // What cannot be written is not accepted.
    let (mut commits, _) = open(tag(12, 4, 7));
    assert!(matches!(
        commits.step(CommitInput::FlushFailed { random: 0 }).as_slice(),
        [CommitOutput::Stop(_)]
    ));
}

#[test]
fn a_commit_counts_with_its_last_piece_and_not_before() {
    let mut commits = ready();
    let changes = vec![put("a", 1), put("b", 90)];
    let pieces = cut(id(5, 8), &changes, PIECE);
    assert_eq!(pieces.len(), 3);
    assert_eq!(commits.step(CommitInput::Commit(changes)), append(5, &pieces[0]));
    for (at, next) in [(10, &pieces[1]), (12, &pieces[2])] {
        let appended = CommitInput::Appended { at: Offset(at) };
        assert_eq!(commits.step(appended), append(5, next));
        assert!(keys(&commits).is_empty() && commits.is_committing());
        assert_eq!(commits.number(), 7);
    }
    // Nobody knows: asked again word for word, as often as it takes.
    for _ in 0..2 {
        assert_eq!(commits.step(CommitInput::AppendUnclear), []);
        assert!(keys(&commits).is_empty() && commits.is_committing());
        assert_eq!(commits.step(CommitInput::Retry), append(5, &pieces[2]));
        assert_eq!(commits.step(CommitInput::Retry), [], "it is asked for already");
    }
    let appended = CommitInput::Appended { at: Offset(15) };
    assert_eq!(commits.step(appended), [CommitOutput::Committed { number: 8 }]);
    assert_eq!((keys(&commits).len(), commits.is_committing()), (2, false));
}

fn commit(commits: &mut Commits, change: StateWrite, at: i64) {
    let (mut said, mut at) = (commits.step(CommitInput::Commit(vec![change])), at);
    while let [CommitOutput::Append { .. }] = said.as_slice() {
        said = commits.step(CommitInput::Appended { at: Offset(at) });
        at += 1;
    }
    assert!(
        matches!(said.as_slice(), [CommitOutput::Committed { .. }]),
        "{said:?}"
    );
}

fn flush(said: Vec<CommitOutput>) -> (Vec<String>, Tag) {
    let [CommitOutput::Flush { changes, tag }] = said.as_slice() else {
        panic!("{said:?}")
    };
    let names = |changes: &Layer| {
        changes
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    };
    (names(changes), *tag)
}

#[test]
fn a_flush_comes_in_time_and_the_trim_once_it_is_durable() {
    let mut commits = ready();
    assert_eq!(commits.flush_at_ms(), None, "at rest, no timer runs");
    commits.step(CommitInput::Tick { now_ms: 1_000 });
    commit(&mut commits, put("a", 1), 10);
    let due = 1_000 + SQL_FLUSH_AFTER_MS;
    assert_eq!(commits.flush_at_ms(), Some(due));
    assert_eq!(commits.step(CommitInput::Tick { now_ms: due - 1 }), []);
    let flushed = flush(commits.step(CommitInput::Tick { now_ms: due }));
    assert_eq!(flushed, (vec!["a".to_owned()], tag(11, 5, 8)));
    // Commits go on beside it and are not in it; nothing is trimmed yet.
    commit(&mut commits, put("b", 1), 11);
    assert_eq!(commits.step(CommitInput::Tick { now_ms: due + 90_000 }), []);
    assert_eq!(keys(&commits).len(), 2);
    assert_eq!(
        commits.step(CommitInput::Flushed),
        [CommitOutput::Trim { before: Offset(11) }]
    );
    assert_eq!(keys(&commits), ["b"], "the database has the other");
    let flushed = flush(commits.step(CommitInput::Tick { now_ms: due + 90_000 }));
    assert_eq!(flushed, (vec!["b".to_owned()], tag(12, 5, 9)));
}

#[test]
fn a_flush_that_failed_is_made_again_with_what_came_since() {
    let mut commits = ready();
    commit(&mut commits, put("a", 1), 10);
    flush(commits.step(CommitInput::Tick { now_ms: 30_000 }));
    commit(&mut commits, put("b", 1), 11);
    assert_eq!(commits.step(CommitInput::FlushFailed { random: 0 }), []);
    assert_eq!(keys(&commits).len(), 2);
    assert_eq!(
        commits.step(CommitInput::Tick { now_ms: 30_001 }),
        [],
        "not at once"
    );
    let flushed = flush(commits.step(CommitInput::Tick { now_ms: 90_000 }));
    assert_eq!(flushed, (vec!["a".to_owned(), "b".to_owned()], tag(12, 5, 9)));
}

#[test]
fn a_store_that_fails_again_and_again_is_asked_ever_more_seldom() {
    let mut commits = ready();
    // So much that a flush is due at once.
    commit(&mut commits, put("a", SQL_FLUSH_BYTES), 10);
    let fails = |commits: &mut Commits| {
        let now_ms = commits.flush_at_ms().unwrap();
        flush(commits.step(CommitInput::Tick { now_ms }));
        assert_eq!(commits.step(CommitInput::FlushFailed { random: 0 }), []);
        commits.flush_at_ms().unwrap() - now_ms
    };
    let waits: Vec<u64> = (0..5).map(|_| fails(&mut commits)).collect();
    assert_eq!(waits, [2_500, 5_000, 10_000, 15_000, 15_000]);
    let now_ms = commits.flush_at_ms().unwrap();
    flush(commits.step(CommitInput::Tick { now_ms }));
    commits.step(CommitInput::Flushed);
    commit(&mut commits, put("b", SQL_FLUSH_BYTES), 100);
    assert_eq!(fails(&mut commits), 2_500, "the first again");
}

#[test]
fn much_is_flushed_at_once_and_little_is_left_to_the_next_life() {
    let mut commits = Commits::new();
    commits.step(CommitInput::Open);
    commits.step(fenced(1, 0, 0));
    commits.step(CommitInput::Opened { tag: None });
    commit(&mut commits, put("a", SQL_FLUSH_BYTES), 0);
    flush(commits.step(CommitInput::Tick { now_ms: 1 }));
    commits.step(CommitInput::Flushed);

    let mut at = 100;
    for _ in 0..SQL_CLOSE_RUNS_MAX {
        commit(&mut commits, put("b", 1), at);
        at += 1;
    }
    assert_eq!(commits.step(CommitInput::Close), []);
    commit(&mut commits, put("b", 1), at);
    let (names, tag) = flush(commits.step(CommitInput::Close));
    assert_eq!((names, tag.end), (vec!["b".to_owned()], Offset(at + 1)));
}

#[test]
fn after_another_owner_was_met_nothing_is_asked_for() {
    let mut commits = ready();
    commits.step(CommitInput::Commit(vec![put("a", 1)]));
    assert_eq!(
        commits.step(CommitInput::OwnerMet),
        [CommitOutput::Stop(StopReason::Fenced)]
    );
    for input in [
        CommitInput::Retry,
        CommitInput::Appended { at: Offset(10) },
        CommitInput::Tick { now_ms: 99_999 },
    ] {
        assert_eq!(commits.step(input), []);
    }
    assert!(keys(&commits).is_empty());
}
