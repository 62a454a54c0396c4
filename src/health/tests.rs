use super::{
    Code, Reason, Report, of_certificate, of_condition, of_room, of_standing, starting, without_decisions,
};
use millstream_broker::{Condition, Standing, StoreFault, StoreTrouble};
use millstream_listener::Validity;

fn told(reasons: Vec<Reason>) -> (bool, String) {
    let report = Report {
        reasons,
        facts: String::new(),
    };
    (report.is_ready(), report.short())
}

fn trouble(fault: StoreFault) -> Condition {
    Condition {
        store: Some(StoreTrouble {
            fault,
            groups: 1,
            error: "cannot put one/two".into(),
        }),
        ..Condition::default()
    }
}

/// What a client would notice is unready; each by its own code.
#[test]
fn every_condition_has_its_code() {
    let with = |change: fn(&mut Condition)| {
        let mut condition = Condition::default();
        change(&mut condition);
        condition
    };
    let table = [
        (Condition::default(), true, "ready\n"),
        (
            with(|it| it.journal_damage = Some("at 5".into())),
            false,
            "unready journal-damaged\n",
        ),
        (
            with(|it| it.is_journal_full = true),
            false,
            "unready journal-full\n",
        ),
        (
            with(|it| it.unserved_partitions = 3),
            false,
            "unready no-leader\n",
        ),
        (
            with(|it| it.quarantined_partitions = 1),
            false,
            "unready partition-damaged\n",
        ),
        (
            with(|it| it.damaged_objects = 2),
            false,
            "unready object-damaged\n",
        ),
        (trouble(StoreFault::Failing), true, "ready store-unreachable\n"),
        (trouble(StoreFault::Refused), true, "ready store-refused\n"),
        (trouble(StoreFault::Full), true, "ready store-full\n"),
        (
            Condition {
                is_journal_full: true,
                ..trouble(StoreFault::Full)
            },
            false,
            "unready journal-full store-full\n",
        ),
    ];
    for (condition, is_ready, short) in table {
        assert_eq!(
            told(of_condition(&condition)),
            (is_ready, short.to_owned()),
            "{condition:?}"
        );
    }
    assert!(told(of_standing(Standing::Member)).0);
    assert_eq!(
        told(of_standing(Standing::Waiting)),
        (false, "unready reads-only\n".into())
    );
    assert!(!told(of_standing(Standing::Refused)).0);
    assert_eq!(
        (starting().is_ready(), starting().short()),
        (false, "unready starting\n".into())
    );
    assert!(without_decisions(true).contains("lease ran out") && !without_decisions(false).contains("lease"));
    assert_eq!(of_room(0), None);
    let crowded = of_room(3).into_iter().collect();
    assert_eq!(told(crowded), (true, "ready requests-wait\n".into()));
}

/// Probes are anybody: they learn of codes, and of nothing that a reason names.
#[test]
fn names_are_for_operators_only() {
    let reasons = of_condition(&trouble(StoreFault::Full));
    let report = Report {
        reasons,
        facts: "catalog version 7".into(),
    };
    assert!(!report.short().contains("one/two") && !report.short().contains("version"));
    let full = report.full();
    assert!(
        full.contains("warning store-full: ") && full.contains("one/two") && full.ends_with("version 7\n"),
        "{full}"
    );
}

#[test]
fn a_certificate_is_judged_by_the_clock() {
    let validity = Validity {
        from: 100,
        until: 200,
    };
    let code = |now_s| of_certificate(validity, now_s, "f").map(|it| it.code);
    for (now_s, expected) in [
        (99, Some(Code::CertificateNotYetValid)),
        (100, None),
        (200, None),
        (201, Some(Code::CertificateExpired)),
    ] {
        assert_eq!(code(now_s), expected, "{now_s}");
    }
}
