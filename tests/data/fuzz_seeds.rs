//! Every reader returns, whatever the bytes: the inputs that fuzzing starts from and what it found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::fuzz;

type Target = fn(&[u8]);

/// Targets by the names of their files in `fuzz/fuzz_targets` and their folders in `fuzz/seeds`.
const TARGETS: [(&str, Target); 9] = [
    ("cifar", fuzz::cifar),
    ("idx", fuzz::idx),
    ("gzip", fuzz::gzip),
    ("image_folder", fuzz::image_folder),
    ("manifest", fuzz::manifest),
    ("safetensors", fuzz::safetensors),
    ("table", fuzz::table),
    ("tuning_json", fuzz::tuning_json),
    ("results_json", fuzz::results_json),
];

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_reader_returns_on_every_seed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let known: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names(&root.join("fuzz_targets")), known);
    assert_eq!(names(&root.join("seeds")), known);
    for (name, target) in TARGETS {
        let folder = root.join("seeds").join(name);
        let mut files: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let mut lengths: Vec<usize> = (0..bytes.len()).step_by(bytes.len() / 20 + 1).collect();
            lengths.push(bytes.len());
            for len in lengths {
                println!("{name}: {len} bytes of {}", file.display());
                target(&bytes[..len]);
            }
        }
    }
}
