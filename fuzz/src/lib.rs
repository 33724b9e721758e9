//! What readers of files are given: any bytes. Each function must return, whatever they are, within
//! seconds and a small memory. `make test` calls them with the inputs in `seeds`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use l2rw::data::{PictureOptions, TableOptions};
use l2rw::gpu::{Context, Tuning};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::plan::{self, Input, Optimizer, TrainingOptions};
use l2rw::train::{Checkpoint, Contents, Trainer, TrainerOptions};
use l2rw::weighting::L2rw;
use l2rw::{data, report};

/// A folder of this process and of one reader, made when it is first asked for.
fn folder(name: &str) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let all = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let folder = all.path().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a small file");
}

/// Two files: as many bytes as the first one says, and the rest.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(*first).min(rest.len()))
}

/// CIFAR-10 with these class names, or CIFAR-100: one file of records for training and test.
pub fn cifar(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let hundred: String = (0..100).map(|class| format!("{class}\n")).collect();
    if kind % 2 == 1 {
        let folder = folder("cifar100");
        write(&folder, "fine_label_names.txt", hundred.as_bytes());
        write(&folder, "train.bin", rest);
        write(&folder, "test.bin", rest);
        let _ = data::open(&folder);
    } else {
        let (folder, (names, records)) = (folder("cifar10"), two(rest));
        write(&folder, "batches.meta.txt", names);
        (1..=5).for_each(|i| write(&folder, &format!("data_batch_{i}.bin"), records));
        write(&folder, "test_batch.bin", records);
        let _ = data::open(&folder);
    }
}

fn mnist(folder: &Path, bytes: &[u8], end: &str) {
    let (labels, images) = two(bytes);
    for set in ["train", "t10k"] {
        write(folder, &format!("{set}-labels-idx1-ubyte{end}"), labels);
        write(folder, &format!("{set}-images-idx3-ubyte{end}"), images);
    }
    let _ = data::open(folder);
}

/// MNIST's files of labels and of images.
pub fn idx(bytes: &[u8]) {
    mnist(&folder("idx"), bytes, "");
}

/// The same, compressed.
pub fn gzip(bytes: &[u8]) {
    mnist(&folder("gzip"), bytes, ".gz");
}

/// A picture.
pub fn image_folder(bytes: &[u8]) {
    let folder = folder("images");
    let class = folder.join("class");
    fs::create_dir_all(&class).expect("a folder");
    write(&class, "picture.png", bytes);
    let _ = data::read_pictures(&[&folder], &PictureOptions::default());
}

/// A list of pictures, of which there is one, `1.png`.
pub fn manifest(bytes: &[u8]) {
    let folder = folder("manifest");
    write(&folder, "1.png", include_bytes!("../seeds/image_folder/grey.png"));
    write(&folder, "list.csv", bytes);
    let _ = data::read_manifest(&folder.join("list.csv"), &PictureOptions::default());
}

/// A table of features, of the kind that the first byte says. An array has its labels and what is
/// trusted in a second and a third file.
pub fn table(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let (folder, mut options) = (folder("table"), TableOptions::default());
    let kinds = ["csv", "tsv", "npz", "parquet", "npy"];
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let mut features = rest;
    if kind == "npy" {
        let (labels, rest) = two(rest);
        let (trusted, rest) = two(rest);
        features = rest;
        write(&folder, "labels.npy", labels);
        write(&folder, "trusted.npy", trusted);
        options.labels_file = Some(folder.join("labels.npy"));
        options.trusted_file = Some(folder.join("trusted.npy"));
    }
    let file = format!("table.{kind}");
    write(&folder, &file, features);
    let table = data::read_table(&folder.join(file), &options);
    let _ = table.and_then(|table| table.dataset());
}

/// Parameters of PyTorch's or of the crate's, and whole checkpoints.
pub fn safetensors(bytes: &[u8]) {
    static TRAINER: Mutex<Option<Trainer>> = Mutex::new(None);
    let _ = Checkpoint::from_bytes(bytes.to_vec());
    let mut trainer = TRAINER.lock().expect("nobody panicked");
    let trainer = trainer.get_or_insert_with(trainer_of_seeds);
    for contents in [Contents::Parameters, Contents::Checkpoint] {
        if trainer.model_mut().load_safetensors(bytes, contents).is_ok() {
            // Otherwise what is on its way to the device would pile up.
            let context = trainer.model().context();
            let nothing = context.device.create_command_encoder(&Default::default());
            context.submit(nothing);
            let _ = trainer.snapshot();
        }
    }
}

/// What the seeds are checkpoints of.
pub fn trainer_of_seeds() -> Trainer {
    let network = zoo::mlp(Shape::new(1, 1, 2), &[], 2).expect("a network");
    let options = TrainerOptions { batch: 2, ..TrainerOptions::plain(2) };
    Trainer::for_batches(&context(), &network, &options).expect("a trainer")
}

/// The adapter that the tests have.
pub fn context() -> Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::new(None).expect("an adapter")).clone()
}

/// A tuning that was measured, and a plan with it. Its adapter is that of this machine where it
/// says "here".
pub fn tuning_json(bytes: &[u8]) {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let (context, folder) = (context(), folder("tuning"));
    let file = FILE.get_or_init(|| context.tuning().keep(&folder, &context).expect("a small file"));
    let text =
        String::from_utf8_lossy(bytes).replace("\"here\"", &format!("{:?}", context.describe()));
    fs::write(file, text).expect("a small file");
    if let Ok(Some(tuning)) = Tuning::find(&folder, &context) {
        plan_of(tuning);
    }
}

/// A tuning that is taken must give a plan.
fn plan_of(tuning: Tuning) {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    let network = NETWORK.get_or_init(|| {
        let resnet = zoo::ResNet::cifar(8, Normalisation::batch()).expect("a depth of 6n + 2");
        resnet.build("resnet8", Shape::new(8, 8, 3), 2).expect("a network")
    });
    let options = TrainingOptions {
        batch: 3,
        clean_batch: 2,
        weighting: L2rw::default().into(),
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        tuning,
        input: Input::Buffers,
    };
    plan::training(network, &options).expect("a plan");
}

/// The results of a comparison of methods.
pub fn results_json(bytes: &[u8]) {
    let folder = folder("results");
    write(&folder, "results.json", bytes);
    let _ = report::results::read(&folder.join("results.json"));
}
