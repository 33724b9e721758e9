//! Runs that are killed, stopped or refused: what is left, and how they go on.

use std::path::Path;
use std::process::{Command, Stdio};

use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::support::{
    AUDIT, EVERY, FLIP, Interruptible, Moment, assert_same, check_checkpoints, data, example,
    half_written, run, small, small_audit,
};

/// Kills a run so many times, lets it end, and holds it to one that was never killed.
fn killed(
    example: &'static str,
    arguments: &[&str],
    kills: u32,
    most_steps: u64,
    seed: u64,
) -> Interruptible {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let output = run(example, &[arguments, &["--out", whole.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut killed = Interruptible::new(example, arguments, &out);
    let mut random = Pcg64::seed_from_u64(seed);
    let mut half = 0;
    for kill in 0..kills {
        assert!(
            killed.kill_at(Moment::random(&mut random, most_steps)),
            "it ended before kill {kill}"
        );
        check_checkpoints(&out);
        half += usize::from(half_written(&out) > 0);
    }
    killed.finish();
    assert!(check_checkpoints(&out) > 0);
    assert_same(&whole, &out);
    assert!(killed.most_lost <= EVERY, "{} steps lost", killed.most_lost);
    println!(
        "{example}: {kills} kills, {half} within a file, {} times gone on from a checkpoint, \
         {} steps lost at most",
        killed.resumed, killed.most_lost
    );
    killed
}

#[test]
fn a_killed_training_ends_with_the_bits_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    let methods = ["--steps", "240", "--methods", "baseline+es,l2rw"];
    let killed = killed(FLIP, &small(&data, &methods), 5, 70, 3);
    assert!(killed.resumed > 0);
}

#[test]
fn a_killed_fine_tuning_and_what_starts_from_a_plain_run_end_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    let methods = ["--steps", "200", "--methods", "mentornet-dd+ft"];
    // The plain run, the method, and 25 steps of fine-tuning.
    killed(FLIP, &small(&data, &methods), 4, 110, 5);
}

#[test]
fn a_killed_audit_and_its_folds_end_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    killed(AUDIT, &small_audit(&data, &["--steps", "200"]), 3, 60, 7);
    let folds = ["--out-of-sample", "3", "--passes", "9000"];
    killed(AUDIT, &small_audit(&data, &folds), 3, 60, 9);
}

#[test]
fn a_killed_classifier_ends_with_the_bits_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    let audit = small_audit(&data, &["--steps", "240"]);
    let train = [&["train"], &audit[1..]].concat();
    assert!(killed(AUDIT, &train, 3, 70, 6).resumed > 0);
}

#[test]
fn kills_within_fine_tuning_lose_no_more_than_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    // 100 steps of fine-tuning behind 800.
    let arguments = small(&data, &["--steps", "800", "--methods", "baseline+es+ft"]);
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let first = run(FLIP, &[&arguments[..], &["--out", whole.to_str().unwrap()]].concat());
    assert!(first.status.success());
    let mut killed = Interruptible::new(FLIP, &arguments, &out);
    for steps in [835, 35] {
        assert!(killed.kill_at(Moment::Steps(steps, std::time::Duration::from_millis(1))));
        check_checkpoints(&out);
        let name = |step| out.join(format!("baseline+es+ft.{step}.safetensors"));
        assert!([820, 840, 860].into_iter().any(|step| name(step).exists()));
    }
    killed.finish();
    assert_same(&whole, &out);
    assert!(killed.most_lost <= EVERY && killed.resumed == 2);
    println!("2 kills within fine-tuning, {} steps lost at most", killed.most_lost);
}

#[test]
fn an_error_in_one_method_leaves_the_results_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 12);
    let out = folder.path().join("out");
    let flip = |methods: &str| {
        let rest = ["--steps", "40", "--methods", methods, "--resume"];
        run(FLIP, &[&small(&data, &rest)[..], &["--out", out.to_str().unwrap()]].concat())
    };
    assert!(flip("baseline").status.success());
    std::fs::remove_file(out.join("curves.png")).unwrap();
    // A folder in the place of a checkpoint.
    std::fs::create_dir(out.join("mwn.40.safetensors")).unwrap();
    std::fs::create_dir(out.join("mwn.20.safetensors")).unwrap();
    let output = flip("focal,mwn,l2rw");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("error: cannot write"), "{message}");
    let json = std::fs::read_to_string(out.join("results.json")).unwrap();
    for (name, there) in [("baseline", true), ("focal", true), ("mwn", false), ("l2rw", false)] {
        assert_eq!(json.contains(&format!("\"name\": \"{name}\"")), there, "{json}");
    }
    assert!(out.join("curves.png").exists());
    for step in [20, 40] {
        std::fs::remove_dir(out.join(format!("mwn.{step}.safetensors"))).unwrap();
    }
    assert!(flip("baseline").status.success(), "goes on with all that was begun");
    let json = std::fs::read_to_string(out.join("results.json")).unwrap();
    assert_eq!(json.matches("\"name\":").count(), 4, "{json}");
}

/// Sends a signal by its name.
#[cfg(unix)]
fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Starts a run and waits until its folder has this file.
#[cfg(unix)]
fn started(example_name: &str, arguments: &[&str], file: &Path) -> std::process::Child {
    let child = Command::new(example(example_name))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = std::time::Instant::now();
    while !file.exists() {
        assert!(begin.elapsed().as_secs() < 120, "{} is not there", file.display());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child
}

/// Also what another run may do meanwhile and afterwards.
#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_after_its_step_with_what_there_is_and_it_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let texts = [&whole, &out].map(|path| path.to_str().unwrap());
    let arguments =
        small(&data, &["--steps", "1600", "--methods", "baseline,l2rw", "--out", texts[1]]);
    let child = started(FLIP, &arguments, &out.join("baseline.20.safetensors"));
    let refused = run(FLIP, &[&arguments[..], &["--resume"]].concat());
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("another run is writing"), "{message}");
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("--resume"), "{stderr}");
    let results = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
    };
    assert_eq!(results()["methods"][0]["interrupted"], true);
    assert!(results()["methods"][0]["steps"].as_u64().unwrap() < 1600);
    assert!(out.join("curves.png").exists());

    // Neither begun anew by mistake nor gone on with under other options.
    for (more, expected) in
        [(vec![], "an unfinished run of baseline, l2rw"), (vec!["--resume", "--seed", "2"], "seed")]
    {
        let refused = run(FLIP, &[&arguments[..], &more].concat());
        let message = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains(expected) && message.contains("--overwrite"), "{message}");
    }
    let resume = [&arguments[..], &["--resume"]].concat();
    assert!(run(FLIP, &resume).status.success());
    assert_eq!(results()["methods"][0]["interrupted"], false);
    let all = small(&data, &["--steps", "1600", "--methods", "baseline,l2rw", "--out", texts[0]]);
    assert!(run(FLIP, &all).status.success());
    assert_same(&whole, &out);

    // What is finished is not trained again, also where a method more is asked for.
    let more = small(&data, &["--steps", "1600", "--methods", "focal", "--out", texts[1]]);
    assert_eq!(run(FLIP, &more).status.code(), Some(2));
    let before = std::fs::metadata(out.join("l2rw.safetensors")).unwrap().modified().unwrap();
    assert!(run(FLIP, &[&more[..], &["--resume"]].concat()).status.success());
    let after = std::fs::metadata(out.join("l2rw.safetensors")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    let names: Vec<serde_json::Value> =
        results()["methods"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["baseline", "l2rw", "focal"]);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_an_audit_and_its_folds_after_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    for (name, rest, file, result) in [
        ("audit", vec!["--steps", "20000"], "model.20.safetensors", "audit.csv"),
        (
            "folds",
            vec!["--out-of-sample", "2", "--passes", "2000000"],
            "folds.20.safetensors",
            "predictions.csv",
        ),
    ] {
        let out = folder.path().join(name);
        let rest = [&rest[..], &["--out", out.to_str().unwrap()]].concat();
        let child = started(AUDIT, &small_audit(&data, &rest), &out.join(file));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(check_checkpoints(&out) > 0 && !out.join(result).exists());
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let audit = small_audit(&data, &["--steps", "120", "--held-out", "0"]);
    let texts = [&whole, &out].map(|path| path.to_str().unwrap());
    assert!(run(AUDIT, &[&audit[..], &["--out", texts[0]]].concat()).status.success());
    let mut killed = Interruptible::new(AUDIT, &audit, &out);
    assert!(killed.kill_at(Moment::Steps(61, std::time::Duration::ZERO)));
    let newest = [100, 80, 60].map(|step| out.join(format!("model.{step}.safetensors")));
    let newest = newest.iter().find(|path| path.exists()).unwrap();
    let bytes = std::fs::read(newest).unwrap();
    std::fs::write(newest, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(AUDIT, &[&audit[..], &["--out", texts[1], "--resume"]].concat());
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("damaged") && stderr.contains("the one before"), "{stderr}");
    assert!(stdout.contains("model goes on after step"), "{stdout}");
    assert_same(&whole, &out);
}

#[test]
fn a_finished_run_is_replaced_by_its_like_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 12);
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let audit = |more: &[&str]| {
        let output =
            run(AUDIT, &[&small_audit(&data, &["--steps", "10", "--out", out])[..], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(audit(&[]).0, Some(0));
    assert_eq!(audit(&[]).0, Some(0), "the same again");
    let (code, message) = audit(&["--seed", "7"]);
    assert!(code == Some(2) && message.contains("seed is 1 in the file and 7 here"), "{message}");
    // Another program's, too.
    let flip = run(FLIP, &small(&data, &["--steps", "2", "--out", out]));
    let message = String::from_utf8_lossy(&flip.stderr);
    assert!(flip.status.code() == Some(2) && message.contains("program 'audit'"), "{message}");
    std::fs::write(Path::new(out).join("mine.safetensors"), "kept").unwrap();
    assert_eq!(audit(&["--seed", "7", "--overwrite"]).0, Some(0));
    assert!(Path::new(out).join("mine.safetensors").exists());
    assert_eq!(audit(&["--seed", "7", "--resume"]).0, Some(0), "nothing is left to do");
}

#[test]
fn an_output_folder_in_a_folder_that_is_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 12);
    let inside = format!("{data}/train/../new/out");
    for out in [data.as_str(), inside.as_str()] {
        for (name, arguments) in [
            (AUDIT, small_audit(&data, &["--steps", "2", "--out", out])),
            (FLIP, small(&data, &["--steps", "2", "--out", out])),
        ] {
            let output = run(name, &arguments);
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(message.contains("from which is read"), "{message}");
        }
    }
    assert!(!folder.path().join("data/new").exists());
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_a_program_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    // Before it begins: a short output would fit into a pipe that nobody reads.
    drop(reader);
    let mut command = Command::new(example("print_kernel"));
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success());
}

/// `make soak` runs these.
mod soak {
    use super::*;

    #[test]
    #[ignore = "a soak: make soak"]
    fn two_hundred_kills_of_one_training() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), 40);
        let methods = ["--steps", "12000", "--methods", "l2rw"];
        let killed = killed(FLIP, &small(&data, &methods), 200, 80, 1);
        assert!(killed.resumed > 150, "{}", killed.resumed);
    }

    #[test]
    #[ignore = "a soak: make soak"]
    fn ten_kills_within_a_sweep_of_four_methods() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), 40);
        let methods = ["--steps", "300", "--methods", "baseline+es,l2rw,mwn,s-model-conf"];
        killed(FLIP, &small(&data, &methods), 10, 220, 2);
    }

    #[test]
    #[ignore = "a soak: make soak"]
    fn ten_kills_within_an_audit_and_within_its_folds() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), 40);
        killed(AUDIT, &small_audit(&data, &["--steps", "900"]), 10, 90, 4);
        let folds = ["--out-of-sample", "5", "--passes", "30000"];
        killed(AUDIT, &small_audit(&data, &folds), 10, 90, 6);
    }
}
