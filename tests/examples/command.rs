//! The command `l2rw` and small pictures to give it.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::support;

pub fn l2rw(arguments: &[&str]) -> Output {
    support::run(support::AUDIT, arguments)
}

/// What a command printed, which must have gone well.
pub fn good(arguments: &[&str]) -> String {
    let output = l2rw(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a command that must have refused its arguments. Drivers may say more.
pub fn refused(arguments: &[&str]) -> String {
    let output = l2rw(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{stderr}");
    last.to_owned()
}

pub fn rows(path: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(path).unwrap().records().map(Result::unwrap).collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Pictures that point to one side: a white bar at the left, right, top or bottom.
pub fn bar(side: &str, index: u32) -> image::GrayImage {
    image::GrayImage::from_fn(12, 12, |x, y| {
        let inside = match side {
            "left" => x < 4,
            "right" => x >= 8,
            "top" => y < 4,
            _ => y >= 8,
        };
        let noise = ((x * 31 + y * 17 + index * 71) * 2_654_435 % 37) as u8;
        image::Luma([if inside { 255 - noise } else { noise }])
    })
}

/// `count` pictures of either side; every tenth lies in the other's folder and has `wrong` in its
/// name. The folders of all and of eight trusted ones of each.
pub fn bars(folder: &Path, sides: [&str; 2], count: u32) -> [PathBuf; 2] {
    let [data, clean] = ["data", "clean"].map(|name| folder.join(name));
    for (class, side) in sides.iter().enumerate() {
        for index in 0..count + 8 {
            let trusted = index >= count;
            let wrong = !trusted && index % 10 == 3;
            let class = sides[if wrong { 1 - class } else { class }];
            let mark = if wrong { "wrong" } else { "right" };
            let folder = if trusted { &clean } else { &data }.join(class);
            std::fs::create_dir_all(&folder).unwrap();
            bar(side, index).save(folder.join(format!("{side}-{index:03}-{mark}.png"))).unwrap();
        }
    }
    [data, clean]
}

pub const QUICK: [&str; 6] = ["--model", "lenet5", "--steps", "60", "--batch", "50"];
