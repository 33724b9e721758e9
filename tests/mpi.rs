//! Ranks that `mpirun` starts: each is this binary again, in the test `as_a_rank`.

mod common;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::device::context;
use common::ranks::{
    Data, SMALL, Step, alone, assert_near, assert_same_step, numbers, seen, small, small_options,
    step_alone, tolerance,
};
use common::steps::run;
use l2rw::gpu::ShaderChecks;
use l2rw::train::{CheckpointSeries, HostState, MpiRanks, Ranks, Trainer};

/// What a rank is to do, and the folder for its files.
const CASE: &str = "L2RW_TEST_CASE";
const FOLDER: &str = "L2RW_TEST_FOLDER";

/// Steps of a whole run, and from one checkpoint to the next.
const STEPS: u64 = 9;
const EVERY: u64 = 3;

/// The step before which a rank ends that is to end.
const LAST: u64 = 5;

/// When a job that has lost a rank has to be over.
const OVER: Duration = Duration::from_secs(30);

#[test]
fn as_a_rank() {
    let Ok(case) = env::var(CASE) else { return };
    let ranks = MpiRanks::new().unwrap();
    match case.as_str() {
        "engine" => engine(&ranks),
        "equal" => equal(ranks),
        _ => train(&case, ranks),
    }
}

/// The job of so many ranks that do this.
fn mpirun(count: usize, case: &str, folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &count.to_string()]).arg(env::current_exe().unwrap());
    command.args(["--exact", "as_a_rank", "--nocapture"]);
    // Open MPI's refusals; other launchers have none.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    // In seconds: nothing here may hang.
    command.env("MPIEXEC_TIMEOUT", "240");
    command.env(CASE, case).env(FOLDER, folder).stdin(Stdio::null());
    command
}

/// What became of it, one job after the other: each takes the whole machine.
fn outcome(count: usize, case: &str, folder: &Path) -> Output {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    mpirun(count, case, folder).output().unwrap_or_else(|error| panic!("mpirun: {error}"))
}

fn succeed(count: usize, case: &str, folder: &Path) {
    let Output { status, stdout, stderr } = outcome(count, case, folder);
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{case} on {count}: {status}\n{stdout}\n{stderr}");
}

/// The errors of a job that fails in time.
fn fail(count: usize, case: &str, folder: &Path) -> String {
    let Output { status, stderr, .. } = outcome(count, case, folder);
    let errors = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{case}: {errors}");
    let ended = fs::metadata(folder.join("ends")).unwrap().modified().unwrap();
    let took = ended.elapsed().unwrap();
    assert!(took < OVER, "{case} took {took:?}");
    errors
}

fn trainer(ranks: MpiRanks) -> Trainer {
    let data = Data::new(SMALL, (50, 23), 3);
    let (train, clean) = (data.set(&data.train), data.set(&data.clean));
    let context = context(ShaderChecks::Trusted);
    let (network, options) = (small(None), small_options());
    let ranks = Arc::new(ranks);
    Trainer::distributed(context, &network, train, Some(clean), &options, ranks).unwrap()
}

/// What the engine says of itself and refuses, and calls from several threads.
fn engine(ranks: &MpiRanks) {
    assert_eq!(ranks.local_rank(), ranks.rank(), "all of them are on this machine");
    let again = MpiRanks::launched().unwrap().expect("a launcher has started it");
    assert_eq!((again.rank(), again.count()), (ranks.rank(), ranks.count()));
    let count = ranks.count();
    let mut all = vec![0; count];
    let other = ranks.clone();
    let own = [7 + ranks.rank() as u32];
    let called = thread::spawn(move || {
        other.all_gather(&own, &mut all, &vec![1; count]).unwrap();
        all
    });
    let expected: Vec<u32> = (0..count as u32).map(|rank| 7 + rank).collect();
    assert_eq!(called.join().unwrap(), expected);
    let mut sent = vec![0; count];
    sent[0] = 1 << 31;
    let error = ranks.all_to_all(&[], &sent, &mut [], &vec![0; count]).unwrap_err();
    assert!(error.to_string().contains("beyond what MPI counts"), "{error}");
    let error = ranks.all_to_all(&[1], &vec![0; count], &mut [], &vec![0; count]).unwrap_err();
    assert!(error.to_string().contains("not the whole"), "{error}");
    // Rank 0 has one word for itself, two for rank 1, and so on; rank 1 two for rank 0.
    let len = |from: usize, to: usize| (from + to) % 3 + usize::from(from == to);
    let word = |from: usize, to: usize, i: usize| (100 * from + 10 * to + i) as u32;
    let rank = ranks.rank();
    let words = |from: usize, to: usize| (0..len(from, to)).map(move |i| word(from, to, i));
    let from: Vec<u32> = (0..count).flat_map(|to| words(rank, to)).collect();
    let expected: Vec<u32> = (0..count).flat_map(|from| words(from, rank)).collect();
    let (sent, received) = (0..count).map(|other| (len(rank, other), len(other, rank))).unzip();
    let (sent, received): (Vec<usize>, Vec<usize>) = (sent, received);
    let mut into = vec![0; expected.len()];
    ranks.all_to_all(&from, &sent, &mut into, &received).unwrap();
    assert_eq!(into, expected);
}

/// Each step from the parameters that one device had before it.
fn equal(ranks: MpiRanks) {
    let data = Data::new(SMALL, (50, 23), 3);
    let (network, options) = (small(None), small_options());
    let mut single = alone(&network, &data, &options);
    let expected: Vec<Step> = (0..10).map(|_| step_alone(&mut single)).collect();
    let mut trainer = trainer(ranks);
    for step in &expected {
        trainer.restore(&step.before).unwrap();
        let found = step_alone(&mut trainer);
        let what = format!("step {}", step.report.step);
        assert_same_step(&what, &found, step, tolerance(&network));
    }
}

/// A run from its last checkpoint on, in which rank 1 may end.
fn train(case: &str, ranks: MpiRanks) {
    let folder = env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let mut trainer = trainer(ranks.clone());
    let series = CheckpointSeries::new(folder, "run", 2);
    if let Some(checkpoint) = series.newest().unwrap().checkpoint {
        trainer.model_mut().resume(&checkpoint).unwrap();
    }
    let end = if case == "half" { EVERY } else { STEPS };
    while trainer.steps() < end {
        if ranks.rank() == 1 && trainer.steps() == LAST {
            last_words(case, folder, &ranks);
        }
        run(&mut trainer, 1);
        if trainer.is_first_rank() && trainer.steps().is_multiple_of(EVERY) {
            let host = HostState::new(&()).unwrap();
            series.save(trainer.steps(), trainer.model(), &host).unwrap();
        }
    }
    let rank = ranks.rank();
    let seen = seen(&mut trainer, 0);
    fs::write(folder.join(format!("parameters.{rank}")), seen.parameters).unwrap();
    fs::write(folder.join(format!("state.{rank}")), seen.checkpoint).unwrap();
}

/// How rank 1 ends where the case wants it to.
fn last_words(case: &str, folder: &Path, ranks: &MpiRanks) {
    if !["killed", "error", "panic"].contains(&case) {
        return;
    }
    fs::write(folder.join("ends"), "").unwrap();
    match case {
        "error" => ranks.abort("the disk is full"),
        "panic" => panic!("rank 1 cannot go on"),
        _ => {
            let id = std::process::id().to_string();
            Command::new("kill").args(["-KILL", &id]).status().unwrap();
            thread::sleep(OVER);
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// What rank 0 wrote at the end, which every rank wrote.
fn state(count: usize, folder: &Path) -> Vec<u8> {
    let read = |rank| fs::read(folder.join(format!("state.{rank}"))).unwrap();
    let first = read(0);
    assert!((1..count).all(|rank| read(rank) == first), "all ranks have the same");
    first
}

fn parameters(folder: &Path) -> Vec<f32> {
    numbers(&fs::read(folder.join("parameters.0")).unwrap(), "")
}

#[test]
fn the_engine_moves_words_and_refuses_what_mpi_cannot_count() {
    for count in [2, 3] {
        succeed(count, "engine", folder().path());
    }
}

#[test]
fn steps_of_two_and_three_ranks_equal_those_of_one_device() {
    for count in [2, 3] {
        succeed(count, "equal", folder().path());
    }
}

#[test]
fn the_same_twice_gives_the_same_bits() {
    let [first, second] = [folder(), folder()];
    for folder in [&first, &second] {
        succeed(2, "whole", folder.path());
    }
    assert!(state(2, first.path()) == state(2, second.path()));
}

#[test]
fn what_two_ranks_saved_three_and_one_go_on_from() {
    let whole = folder();
    succeed(2, "whole", whole.path());
    for count in [1, 2, 3] {
        let half = folder();
        succeed(2, "half", half.path());
        succeed(count, "whole", half.path());
        match count {
            2 => assert!(state(2, half.path()) == state(2, whole.path())),
            _ => {
                assert_near("parameters", &parameters(half.path()), &parameters(whole.path()), 1e-4)
            }
        }
    }
}

#[test]
fn a_rank_that_is_killed_ends_the_job_which_then_goes_on_with_the_same_bits() {
    let [whole, killed] = [folder(), folder()];
    succeed(2, "whole", whole.path());
    let errors = fail(2, "killed", killed.path());
    assert!(errors.contains("rank 1") && errors.contains("signal 9"), "{errors}");
    succeed(2, "whole", killed.path());
    assert!(state(2, killed.path()) == state(2, whole.path()));
}

#[test]
fn a_rank_with_an_error_or_a_panic_ends_the_job_with_its_message() {
    let errors = fail(2, "error", folder().path());
    assert_eq!(errors.matches("error: rank 1 of 2: the disk is full").count(), 1, "{errors}");
    let errors = fail(2, "panic", folder().path());
    assert_eq!(errors.matches("error: rank 1 of 2: it has panicked").count(), 1, "{errors}");
    assert!(errors.contains("rank 1 cannot go on"), "{errors}");
}
