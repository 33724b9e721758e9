//! Runs the examples as a user would, and kills them as a user would not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use l2rw::train::{Checkpoint, SavedModel};
use rand::RngExt;
use rand_pcg::Pcg64;
use safetensors::SafeTensors;

pub const FLIP: &str = "cifar_backgroundflip";
pub const AUDIT: &str = "l2rw";

/// A program that `cargo test` built beside this test: the crate's own, or an example.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let folder = if name == AUDIT { folder.to_owned() } else { folder.join("examples") };
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

pub fn run(name: &str, arguments: &[&str]) -> Output {
    let example = example(name);
    Command::new(&example)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", example.display()))
}

/// An image folder with `count` images of each of two classes, for training and for tests.
pub fn image_folder(folder: &Path, count: usize, size: u32) {
    for split in ["train", "test"] {
        for (class, red) in [("cat", 9), ("dog", 60)] {
            let class_folder = folder.join(split).join(class);
            std::fs::create_dir_all(&class_folder).unwrap();
            for index in 0..count {
                let shade = (index * 40 % 250) as u8;
                let image = image::RgbImage::from_pixel(size, size, image::Rgb([shade, red, 200]));
                image.save(class_folder.join(format!("{index:04}.png"))).unwrap();
            }
        }
    }
}

/// Steps from one checkpoint to the next.
pub const EVERY: u64 = 20;
const KEPT: [&str; 2] = ["--checkpoint-every", "20"];

/// A network and data so small that a step takes a millisecond or two.
pub fn small<'a>(data: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["--data", data, "--preset", "quick", "--model", "mlp", "--background", "0"];
    let sizes = ["--batch", "10", "--clean-per-class", "4", "--clean-batch", "4"];
    [&fixed[..], &sizes, &KEPT, rest].concat()
}

/// The same for an audit.
pub fn small_audit<'a>(data: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["audit", "--data", data, "--model", "mlp", "--clean-per-class", "4"];
    [&fixed[..], &["--batch", "10", "--clean-batch", "4"], &KEPT, rest].concat()
}

/// Images for them, `count` of each class; the folder.
pub fn data(folder: &Path, count: usize) -> String {
    image_folder(&folder.join("data"), count, 8);
    folder.join("data").to_str().unwrap().to_owned()
}

/// A run that can be killed and taken up again.
pub struct Interruptible {
    pub example: &'static str,
    pub arguments: Vec<String>,
    /// The folder that it writes into.
    out: PathBuf,
    /// Name of the run within the program and last step of it that was seen.
    last: Option<(String, u64)>,
    /// The most steps that had to be taken again after a kill.
    pub most_lost: u64,
    /// Times that a run went on from a checkpoint.
    pub resumed: u32,
}

/// No run takes so long.
const LONG: Duration = Duration::from_secs(300);

/// When to kill.
pub enum Moment {
    /// So long after the start.
    Time(Duration),
    /// After so many steps and a little more.
    Steps(u64, Duration),
    /// While the first file is written after so many steps.
    WithinFile(u64),
}

impl Moment {
    /// Mostly while it trains, now and then while it starts, and more often than chance would have
    /// it while a file is written.
    pub fn random(random: &mut Pcg64, most_steps: u64) -> Self {
        let more = Duration::from_micros(random.random_range(0..6000));
        let steps = random.random_range(1..=most_steps);
        match random.random_range(0..10) {
            0 => Self::Time(Duration::from_millis(random.random_range(0..1500))),
            1..4 => Self::WithinFile(steps),
            _ => Self::Steps(steps, more),
        }
    }
}

impl Interruptible {
    pub fn new(example: &'static str, arguments: &[&str], out: &Path) -> Self {
        let all = arguments.iter().copied().chain(["--out", out.to_str().unwrap(), "--resume"]);
        let arguments = all.map(str::to_owned).collect();
        let out = out.to_owned();
        Self { example, arguments, out, last: None, most_lost: 0, resumed: 0 }
    }

    /// Starts it; the names and numbers of its steps come through the channel. The thread that
    /// reads them fails where the program complains.
    fn start(&self) -> (Child, Receiver<(String, u64)>, JoinHandle<()>) {
        let mut child = Command::new(example(self.example))
            .args(&self.arguments)
            .env("RUST_LOG", format!("error,{}=debug", self.example))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, steps) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                assert!(!line.contains("panicked") && !line.contains("warning"), "{line}");
                let mut words = line.rsplit(' ');
                let (step, mark, run) = (words.next(), words.next(), words.next());
                if let (Some(Ok(step)), Some("step"), Some(run)) = (step.map(str::parse), mark, run)
                    && line.contains("DEBUG")
                {
                    let _ = sender.send((run.to_owned(), step));
                }
            }
        });
        (child, steps, reader)
    }

    /// Starts it and kills it at that moment; whether it was still running.
    pub fn kill_at(&mut self, moment: Moment) -> bool {
        let (mut child, steps, reader) = self.start();
        let begin = Instant::now();
        let (wanted, limit) = match moment {
            Moment::Time(time) => (u64::MAX, time),
            Moment::Steps(steps, _) | Moment::WithinFile(steps) => (steps, LONG),
        };
        let mut seen = 0;
        while seen < wanted {
            match steps.recv_timeout(limit.saturating_sub(begin.elapsed())) {
                Ok(step) => {
                    seen += 1;
                    self.take(step, seen);
                }
                // The moment, or its end.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        match moment {
            Moment::Time(_) => {}
            Moment::Steps(_, more) => std::thread::sleep(more),
            Moment::WithinFile(_) => {
                while half_written(&self.out) == 0
                    && child.try_wait().unwrap().is_none()
                    && begin.elapsed() < LONG
                {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        for step in &steps {
            seen += 1;
            self.take(step, seen);
        }
        reader.join().unwrap();
        assert!(status.success() || status.code().is_none(), "{status}");
        !status.success()
    }

    /// Lets it run to its end, which must be a good one.
    pub fn finish(&mut self) {
        let (mut child, steps, reader) = self.start();
        steps.iter().zip(1..).for_each(|(step, seen)| self.take(step, seen));
        reader.join().unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn take(&mut self, (run, step): (String, u64), seen: u64) {
        if seen == 1
            && let Some((before, last)) = &self.last
            && *before == run
        {
            assert!(step <= last + 1, "{run}: step {step} after {last}: some were left out");
            self.most_lost = self.most_lost.max(last + 1 - step);
            self.resumed += u32::from(step > 1);
        }
        self.last = Some((run, step));
    }
}

/// How many files a folder has that were begun and never finished.
pub fn half_written(out: &Path) -> usize {
    files(out, ".tmp").len()
}

/// The files of a folder by name, without the one that only a lock is on.
pub fn content(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = files(out, "").into_iter().filter(|name| name != ".l2rw.lock");
    names.map(|name| (name.clone(), std::fs::read(out.join(name)).unwrap())).collect()
}

/// Every checkpoint in the folder can be read, and every network without its optimizer; how many
/// there are.
pub fn check_checkpoints(out: &Path) -> usize {
    let files = files(out, ".safetensors");
    for file in &files {
        let path = out.join(file);
        let read = Checkpoint::read(&path).map(drop);
        read.or_else(|_| SavedModel::read(&path).map(drop)).unwrap();
    }
    files.len()
}

fn files(out: &Path, ending: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// The tensors of a file by name.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// JSON without the times that something took.
fn without_times(path: &Path) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.retain(|name, _| !["seconds_per_step", "seconds"].contains(&name.as_str()));
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    strip(&mut value);
    value
}

/// All that two runs left is the same, bit by bit, but for times: parameters and all other
/// tensors, JSON, tables and pictures.
pub fn assert_same(one: &Path, other: &Path) {
    let all = |out| ["safetensors", "json", "csv", "png"].map(|e| files(out, &format!(".{e}")));
    assert_eq!(all(one), all(other));
    assert_eq!((half_written(one), half_written(other)), (0, 0));
    let [models, json, tables, pictures] = all(one);
    assert!(!models.is_empty() && !json.is_empty() && tables.len() + pictures.len() > 0);
    for name in models {
        assert!(tensors(&one.join(&name)) == tensors(&other.join(&name)), "{name}");
    }
    for name in json {
        assert_eq!(without_times(&one.join(&name)), without_times(&other.join(&name)), "{name}");
    }
    for name in tables.into_iter().chain(pictures) {
        let read = |out: &Path| std::fs::read(out.join(&name)).unwrap();
        assert!(read(one) == read(other), "{name}");
    }
}
