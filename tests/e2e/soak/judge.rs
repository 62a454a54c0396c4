//! The judges of the soak: plain functions over what was seen, each a list of what is wrong, so that they can be seen to
//! fail.

use std::time::Duration;

/// From here on the end of a run is compared with its beginning: before that caches fill.
const GROWTH_FROM: Duration = Duration::from_secs(600);

/// What a median answer may take more in the last quarter than in the first, beside half of it: the machine has other
/// work in one of them.
const SLOWER: Duration = Duration::from_millis(20);

/// Bounds at any time, far above what is seen and far below what a leak comes to.
const RESIDENT_BYTES_MAX: u64 = 1536 << 20;
const DESCRIPTORS_MAX: usize = 2_000;
const FILES_MAX: u64 = 4_000;

/// What growth is allowed between the middle and the end of a long run, beside a tenth.
const RESIDENT_BYTES_MORE: u64 = 96 << 20;
const DESCRIPTORS_MORE: usize = 64;

/// SQL's old tables and manifests are collected every five minutes.
const FILES_MORE: u64 = 128;

/// Objects that are kept by design, a minute: the store bills each.
const KEPT_PER_MINUTE: u64 = 40;

/// What one loop has to do.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub name: &'static str,
    /// Fewer are a failure: it stood still. Far below what a busy machine does in that time.
    pub least_per_minute: u64,
    /// The median answer, on a busy machine.
    pub median_max: Duration,
}

/// One answer: when it was asked for, from the beginning of the run on, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub at: Duration,
    pub took: Duration,
}

/// One look at the process.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub after: Duration,
    pub resident: u64,
    /// Of that, what caches of stated sizes hold: they fill for as long as records come.
    pub cached: u64,
    pub descriptors: usize,
    pub files: u64,
    /// Of those, what is kept by design as long as records are: objects and snapshots of the tier, and an hour of the
    /// catalog's log.
    pub kept: u64,
}

/// The median answer that was asked for between two moments.
pub fn median(answers: &[Answer], from: Duration, to: Duration) -> Duration {
    let within = answers.iter().filter(|it| (from..to).contains(&it.at));
    let mut times: Vec<Duration> = within.map(|it| it.took).collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// That a loop did not stand still, was answered in time and, over a long run, became no slower.
pub fn answers(wanted: &Wanted, answers: &[Answer], ran: Duration) -> Vec<String> {
    let (name, count) = (wanted.name, answers.len() as u64);
    let (quarter, mut wrong) = (ran / 4, Vec::new());
    if count < wanted.least_per_minute * ran.as_secs() / 60 {
        wrong.push(format!("{name}: {count} answers in {ran:?}"));
    }
    let whole = median(answers, Duration::ZERO, ran);
    if whole > wanted.median_max {
        wrong.push(format!("{name}: a median answer takes {whole:?}"));
    }
    let (first, last) = (
        median(answers, Duration::ZERO, quarter),
        median(answers, ran - quarter, ran),
    );
    if ran >= GROWTH_FROM && last > first * 3 / 2 + SLOWER {
        wrong.push(format!("{name}: answers took {first:?}, now {last:?}"));
    }
    wrong
}

/// That a sample is within what is never exceeded.
pub fn bounds(sample: &Sample) -> Vec<String> {
    let within = sample.resident < RESIDENT_BYTES_MAX
        && sample.descriptors < DESCRIPTORS_MAX
        && sample.files < FILES_MAX;
    match within {
        true => Vec::new(),
        false => vec![format!("out of bounds: {sample:?}")],
    }
}

/// That nothing grew between the middle of a long run and its end: the first half fills caches.
pub fn growth(samples: &[Sample]) -> Vec<String> {
    let Some(last) = samples.last().filter(|it| it.after >= GROWTH_FROM) else {
        return Vec::new();
    };
    let early = samples.iter().find(|it| it.after >= last.after / 2);
    let early = early.unwrap_or(last);
    let mut wrong = Vec::new();
    let own = |sample: &Sample| sample.resident.saturating_sub(sample.cached);
    if own(last) > own(early) + own(early) / 10 + RESIDENT_BYTES_MORE {
        wrong.push(format!("memory grows: {early:?}, {last:?}"));
    }
    if last.descriptors > early.descriptors + early.descriptors / 10 + DESCRIPTORS_MORE {
        wrong.push(format!("descriptors grow: {early:?}, {last:?}"));
    }
    let own = |sample: &Sample| sample.files.saturating_sub(sample.kept);
    if own(last) > own(early) + own(early) / 10 + FILES_MORE {
        wrong.push(format!("files grow: {early:?}, {last:?}"));
    }
    let minutes = (last.after - early.after).as_secs() / 60;
    if last.kept > early.kept + (minutes + 1) * KEPT_PER_MINUTE {
        wrong.push(format!("more objects than records need: {early:?}, {last:?}"));
    }
    wrong
}

const WANTED: Wanted = Wanted {
    name: "loop",
    least_per_minute: 20,
    median_max: Duration::from_secs(2),
};

/// An answer a second for so long; how long each takes is said by its second.
fn every_second(seconds: u64, took_ms: impl Fn(u64) -> u64) -> (Vec<Answer>, Duration) {
    let answer = |second| Answer {
        at: Duration::from_secs(second),
        took: Duration::from_millis(took_ms(second)),
    };
    ((0..seconds).map(answer).collect(), Duration::from_secs(seconds))
}

/// What the judge of answers says of such a run.
fn of_answers(seconds: u64, took_ms: impl Fn(u64) -> u64) -> Vec<String> {
    let (made, ran) = every_second(seconds, took_ms);
    answers(&WANTED, &made, ran)
}

/// One finding, which says this.
fn assert_finds(found: &[String], what: &str) {
    assert!(found.len() == 1 && found[0].contains(what), "'{what}': {found:?}");
}

#[test]
fn a_loop_is_judged_by_its_count_its_median_and_its_end() {
    // Flat, with a slow answer now and then, over a minute and over an hour.
    let flat = |second| if second % 10 == 0 { 25_000 } else { 100 };
    assert_eq!(of_answers(60, flat), [""; 0]);
    assert_eq!(of_answers(3_600, flat), [""; 0]);
    assert_eq!(of_answers(3_600, |second| 100 + second / 60), [""; 0], "hardly");

    let (mut few, ran) = every_second(60, flat);
    few.truncate(19);
    assert_finds(&answers(&WANTED, &few, ran), "19 answers in 60s");
    assert_finds(&answers(&WANTED, &[], ran), "0 answers in 60s");
    assert_finds(&of_answers(60, |_| 2_001), "a median answer takes 2.001s");
    assert_finds(&of_answers(60, |second| 100 + second * 100), "a median answer");
    // Twice as slow at the end: over a minute that is chance.
    let slower = |from: u64| move |second| if second >= from { 200 } else { 100 };
    assert_eq!(of_answers(60, slower(45)), [""; 0]);
    assert_finds(&of_answers(600, slower(450)), "answers took 100ms, now 200ms");
    assert_finds(&of_answers(3_600, |second| 100 + second / 20), "answers took");
}

/// Samples every ten seconds for so long; each is changed by how many seconds have passed.
fn looked(seconds: u64, change: impl Fn(&mut Sample, u64)) -> Vec<Sample> {
    let sample = |at: u64| {
        let mut sample = Sample {
            after: Duration::from_secs(at),
            resident: 400 << 20,
            cached: 100 << 20,
            descriptors: 300,
            files: 340 + at / 3,
            kept: 20 + at / 3,
        };
        change(&mut sample, at);
        sample
    };
    (0..=seconds).step_by(10).map(sample).collect()
}

#[test]
fn growth_between_the_middle_and_the_end_is_found() {
    let hour = |change: fn(&mut Sample, u64)| growth(&looked(3_600, change));
    assert_eq!(
        hour(|_, _| {}),
        [""; 0],
        "objects that are kept come as they should"
    );
    // Caches fill, and what is collected comes and goes.
    let full = |sample: &mut Sample, at: u64| {
        let cached = (at << 20) / 4;
        sample.cached += cached;
        sample.resident += cached;
        sample.files += at % 300 / 3;
        sample.descriptors += usize::try_from(at % 60).unwrap();
    };
    assert_eq!(hour(full), [""; 0]);

    assert_finds(
        &hour(|it, at| it.resident += (200 << 20) * at / 3_600 * 2),
        "memory grows",
    );
    let leaked = |it: &mut Sample, at: u64| it.descriptors += usize::try_from(at / 10).unwrap();
    assert_finds(&hour(leaked), "descriptors grow");
    // Eight files a minute that nobody collects.
    assert_finds(&hour(|it, at| it.files += at / 8), "files grow");
    let kept = |it: &mut Sample, at: u64| {
        it.files += at / 2;
        it.kept += at / 2;
    };
    assert_finds(&hour(kept), "more objects than records need");
    // A minute says nothing of it, and half a run of growth that ends in the middle is a cache's.
    assert_eq!(growth(&looked(60, |it, at| it.files += at * 100)), [""; 0]);
    assert_eq!(hour(|it, at| it.resident += at.min(1_800) << 17), [""; 0]);
    assert_eq!(growth(&[]), [""; 0]);
}

#[test]
fn what_is_never_exceeded_is_a_failure_at_once() {
    let of = |change: fn(&mut Sample, u64)| bounds(&looked(0, change)[0]);
    assert_eq!(of(|_, _| {}), [""; 0]);
    assert_finds(&of(|it, _| it.resident = RESIDENT_BYTES_MAX), "out of bounds");
    assert_finds(&of(|it, _| it.descriptors = DESCRIPTORS_MAX), "out of bounds");
    assert_finds(&of(|it, _| it.files = FILES_MAX), "out of bounds");
}
