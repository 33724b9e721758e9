//! Disks that are full or read-only: what is left of a run, and how it goes on.

use std::path::Path;
use std::process::{Command, Output};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::support::{
    AUDIT, FLIP, Interruptible, Moment, assert_same, check_checkpoints, content, data, example,
    half_written, run, small, small_audit,
};

/// Runs an example that may write no file of more than 64 KiB, a small one that is.
fn limited(name: &str, arguments: &[&str]) -> Output {
    // Blocks of 512 bytes or of 1 KiB, by the shell. Without the trap a signal ends the program.
    let script = r#"trap '' XFSZ; ulimit -f 64; exec "$0" "$@""#;
    Command::new("sh").args(["-c", script]).arg(example(name)).args(arguments).output().unwrap()
}

#[test]
fn a_file_that_does_not_fit_ends_a_run_and_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), 40);
    for (name, arguments) in [
        (FLIP, small(&data, &["--steps", "100", "--methods", "l2rw"])),
        (AUDIT, small_audit(&data, &["--steps", "100"])),
    ] {
        let of = |kind: &str| folder.path().join(format!("{name}-{kind}"));
        let (whole, out) = (of("whole"), of("out"));
        let out_of = |path: &'_ Path| ["--out".to_owned(), path.to_str().unwrap().to_owned()];
        let [option, path] = out_of(&whole);
        assert!(run(name, &[&arguments[..], &[&option, &path]].concat()).status.success());
        let mut killed = Interruptible::new(name, &arguments, &out);
        assert!(killed.kill_at(Moment::Steps(50, std::time::Duration::ZERO)));
        assert!(check_checkpoints(&out) > 0);
        let [option, path] = out_of(&out);
        let resumed = [&arguments[..], &[&option, &path, "--resume"]].concat();
        // The first one may still find what the kill left.
        assert_eq!(limited(name, &resumed).status.code(), Some(2));
        let before = content(&out);
        let output = limited(name, &resumed);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("error: cannot write") && message.contains("disk"), "{message}");
        assert_eq!(message.matches("os error").count(), 1, "told twice: {message}");
        assert!(content(&out) == before, "{:?}", before.keys());
        assert_eq!(half_written(&out), 0);
        assert!(run(name, &resumed).status.success());
        assert_same(&whole, &out);
    }
}

/// `make soak` runs these.
#[cfg(target_os = "linux")]
mod soak {
    use super::*;

    /// Mounts a disk of 1 MiB for itself alone, of which `$1` bytes are taken, and runs the rest of
    /// its arguments until the disk is full, again once nothing can be written, and once there is
    /// room; copies into `$KEEP` what was there each time.
    const DISK: &str = r#"
        set -eu
        taken=$1; shift
        disk=$KEEP/disk
        mkdir "$disk"
        mount -t tmpfs -o size=1m none "$disk"
        head -c "$taken" /dev/zero > "$disk/taken"
        attempt() {
            code=0
            "$@" --out "$disk/out" --resume > /dev/null 2> "$KEEP/$name.err" || code=$?
            echo "$code" > "$KEEP/$name.code"
            cp -r "$disk/out" "$KEEP/$name"
        }
        name=full; attempt "$@"
        mount -o remount,ro "$disk"
        name=readonly; attempt "$@"
        mount -o remount,rw,size=64m "$disk"
        name=room; attempt "$@"
    "#;

    /// Holds a run on many such disks to one on a good disk. How many had room for a checkpoint,
    /// and for results.
    fn on_full_disks(name: &str, arguments: &[&str], result: &str, count: u32) -> [u32; 2] {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        let first = run(name, &[arguments, &["--out", whole.to_str().unwrap()]].concat());
        assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
        let mut random = Pcg64::seed_from_u64(1);
        let (mut had, mut fitted) = ([0; 2], 0);
        for disk in 0..count {
            let taken = if disk == 0 { 0 } else { random.random_range(0..1 << 20) };
            let keep = folder.path().join(disk.to_string());
            std::fs::create_dir(&keep).unwrap();
            let script = Command::new("unshare")
                .args(["--map-root-user", "--mount", "sh", "-c", DISK, "sh", &taken.to_string()])
                .arg(example(name))
                .args(arguments)
                .env("KEEP", &keep)
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&script.stderr);
            assert!(script.status.success(), "disks cannot be mounted here: {error}");
            let text = |file: &str| std::fs::read_to_string(keep.join(file)).unwrap();
            let [full, readonly, room] = ["full", "readonly", "room"].map(|name| keep.join(name));
            // Small runs may have fitted.
            let first = if text("full.code").trim() == "0" { "0" } else { "2" };
            for (name, code) in [("full", first), ("readonly", "2"), ("room", "0")] {
                let error = text(&format!("{name}.err"));
                assert_eq!(text(&format!("{name}.code")).trim(), code, "{taken}, {name}: {error}");
                assert!(!error.contains("panicked"), "{error}");
                let lines = error.lines().filter(|line| line.starts_with("error: cannot "));
                assert_eq!(lines.count(), usize::from(code == "2"), "{taken}, {name}: {error}");
            }
            assert!(text("readonly.err").contains("output directory"));
            assert_eq!(half_written(&full), 0);
            assert!(content(&full) == content(&readonly), "read-only, and yet it changed");
            if first == "0" {
                assert_same(&whole, &full);
                fitted += 1;
                continue;
            }
            had[0] += u32::from(check_checkpoints(&full) > 0);
            if full.join(result).exists() {
                had[1] += 1;
                let results = text(&format!("full/{result}"));
                let whole = serde_json::from_str::<serde_json::Value>(&results).is_ok();
                assert!(whole || !result.ends_with(".json"), "{results}");
            }
            assert_same(&whole, &room);
        }
        println!(
            "{name}: {} disks of 1 MiB full and then read-only, {} with a checkpoint, {} with \
             {result}; on {fitted} others it fitted",
            count - fitted,
            had[0],
            had[1]
        );
        had
    }

    #[test]
    #[ignore = "a soak: make soak"]
    fn a_sweep_on_a_full_disk_and_on_a_read_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), 40);
        let methods = ["--steps", "40", "--methods", "baseline,focal,l2rw,random"];
        let mut arguments = small(&data, &methods);
        let model = arguments.iter().position(|argument| *argument == "mlp").unwrap();
        arguments[model] = "resnet8-w8";
        let [checkpoints, results] = on_full_disks(FLIP, &arguments, "results.json", 20);
        assert!(checkpoints > 10 && results > 5);
    }

    #[test]
    #[ignore = "a soak: make soak"]
    fn an_audit_on_a_full_disk_and_on_a_read_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), 40);
        let mut arguments = small_audit(&data, &["--steps", "60"]);
        let model = arguments.iter().position(|argument| *argument == "mlp").unwrap();
        arguments[model] = "resnet8-w8";
        let [checkpoints, tables] = on_full_disks(AUDIT, &arguments, "audit.csv", 20);
        assert!(checkpoints > 3 && tables > 0);
    }
}
