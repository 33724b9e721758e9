//! Experiments of several runs: killed and taken up again, and all of them on one page.

use std::path::Path;
use std::time::Duration;

use l2rw::report::runs;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::support::{self, FLIP, Interruptible, Moment, assert_same, data, small};

const STEPS: u64 = 60;
const RUNS: u64 = 4;

#[test]
fn a_sweep_that_is_killed_five_times_ends_like_one_that_ran_through() {
    let folder = tempfile::tempdir().unwrap();
    let images = data(folder.path(), 30);
    let steps = STEPS.to_string();
    let settings = ["--noise", "0.2,0.4", "--runs", "2", "--methods", "l2rw", "--steps", &steps];
    let arguments = small(&images, &settings);
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    Interruptible::new(FLIP, &arguments, &whole).finish();

    let mut random = Pcg64::seed_from_u64(15);
    let mut sweep = Interruptible::new(FLIP, &arguments, &killed);
    let mut kills = 0;
    for _ in 0..5 {
        let steps = random.random_range(1..STEPS * RUNS / 3);
        let more = Duration::from_micros(random.random_range(0..6000));
        kills += u32::from(sweep.kill_at(Moment::Steps(steps, more)));
    }
    sweep.finish();
    assert!(kills >= 3, "only {kills} kills found it running");
    assert!(sweep.most_lost <= support::EVERY, "{} steps were lost", sweep.most_lost);

    let folders = |root: &Path| {
        let of = |run: runs::Run| run.folder.strip_prefix(root).unwrap().to_owned();
        runs::read(root).unwrap().into_iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(folders(&whole).len() as u64, RUNS);
    assert_eq!(folders(&whole), folders(&killed));
    for run in folders(&whole) {
        assert_same(&whole.join(&run), &killed.join(&run));
    }
    let figure = |root: &Path| std::fs::read(root.join("figure.png")).unwrap();
    assert!(figure(&whole) == figure(&killed));
    report_shows_all(&whole);
}

/// The page over a sweep has its runs, and an empty folder has none.
fn report_shows_all(sweep: &Path) {
    let output = support::run(support::AUDIT, &["report", sweep.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(sweep.join("report.html")).unwrap();
    let json = page.split("application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let content: serde_json::Value = serde_json::from_str(json).unwrap();
    let [experiment] = content["experiments"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(experiment["name"], FLIP);
    assert!(experiment["figure"].as_str().unwrap().starts_with("data:image/png;base64,"));
    let groups = experiment["groups"].as_array().unwrap();
    let shares: Vec<_> = groups.iter().map(|group| &group["varying"]["spoiling.share"]).collect();
    assert_eq!(shares, [0.2, 0.4]);
    for group in groups {
        assert_eq!(group["runs"].as_array().unwrap().len(), 2);
        let method = &group["methods"][0];
        let of = |name: &str| method[name].as_f64().unwrap();
        let accuracies = method["accuracies"].as_array().unwrap();
        let mean = accuracies.iter().map(|a| a.as_f64().unwrap()).sum::<f64>() / 2.0;
        assert!((of("mean") - mean).abs() < 1e-12 && of("half_width") >= 0.0);
        assert!(!group["pictures"].as_array().unwrap().is_empty());
    }
    let empty = tempfile::tempdir().unwrap();
    let output = support::run(support::AUDIT, &["report", empty.path().to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("holds no results.json"), "{stderr}");
}
