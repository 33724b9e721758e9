//! Checkpoints: going on with the same bits, refusing another run, damage.

use std::sync::Mutex;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::common::device::context;
use crate::common::steps::run;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::plan::Optimizer;
use l2rw::train::{
    Beliefs, Checkpoint, CheckpointSeries, Contents, Difference, EarlyStopping, Examples,
    HostState, Schedule, TrainError, Trainer, TrainerOptions, WeightLedger,
};
use l2rw::weighting::{
    Focal, L2rw, Mentor, MetaWeightNet, Setup, Uniform, Weighting, by_name, variants,
};

const SHAPE: Shape = Shape { height: 8, width: 8, channels: 3 };

fn resnet(widths: [usize; 3]) -> Network {
    let net = zoo::ResNet::cifar(8, Normalisation::batch()).unwrap().with_widths(widths);
    net.build("resnet8-w4", SHAPE, 4).unwrap()
}

/// A network with dropout, whose masks are random numbers.
fn small() -> Network {
    let mut b = Network::builder("small", SHAPE);
    let x = b.linear("fc1", b.input(), 6);
    let x = b.relu("relu", x);
    let x = b.dropout("dropout", x, 0.25);
    b.linear("fc2", x, 4);
    b.build().unwrap()
}

fn images(len: usize) -> (Vec<u8>, Vec<u32>) {
    let labels: Vec<u32> = (0..len as u32).map(|i| i * 7 % 4).collect();
    let pixel = |p: usize| (p * p % 97 + p / 192 * 31 % 120) as u8;
    ((0..len * SHAPE.len()).map(pixel).collect(), labels)
}

fn options(weighting: impl Into<Weighting>) -> TrainerOptions {
    TrainerOptions { batch: 12, clean_batch: 8, crop_pad: 1, ..TrainerOptions::cifar(weighting) }
}

fn trainer(network: &Network, options: &TrainerOptions) -> Trainer {
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, SHAPE);
    Trainer::new(context(ShaderChecks::Trusted), network, set, Some(set), options).unwrap()
}

fn checkpoint(trainer: &Trainer) -> Vec<u8> {
    trainer.model().to_safetensors(Contents::Checkpoint).unwrap()
}

fn load(trainer: &mut Trainer, bytes: &[u8], contents: Contents) -> Result<(), TrainError> {
    trainer.model_mut().load_safetensors(bytes, contents)
}

#[test]
fn a_checkpoint_continues_as_if_training_had_never_stopped() {
    let (network, options) = (resnet([4, 8, 8]), options(L2rw::default()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut first = trainer(&network, &options);
    run(&mut first, 7);
    first.save(&path).unwrap();
    let expected = run(&mut first, 4);

    let mut second = trainer(&network, &options);
    run(&mut second, 2);
    second.load(&path).unwrap();
    assert_eq!(second.steps(), 7);
    assert_eq!(run(&mut second, 4), expected);
    assert!(checkpoint(&second) == checkpoint(&first));
}

/// Random numbers are counters, so seed and step are all that there is of them: dropout, crops,
/// mirroring, draws, and what methods draw themselves.
#[test]
fn every_method_goes_on_with_the_same_bits() {
    let setup = Setup {
        steps: 9,
        label_correct: Some(vec![0.5, 0.7, 0.9, 0.6]),
        confusion: Some((0..16).map(|i| f64::from(1 + i % 5 * 3)).collect()),
        mentor: Some(Mentor::untrained(1)),
        ..Setup::default()
    };
    let network = small();
    for variant in variants() {
        let options = options(by_name(variant.name, &setup).unwrap());
        let mut first = trainer(&network, &options);
        run(&mut first, 7);
        let middle = checkpoint(&first);
        let expected = run(&mut first, 2);
        let mut second = trainer(&network, &options);
        load(&mut second, &middle, Contents::Checkpoint).unwrap();
        assert!(
            checkpoint(&second) == middle,
            "{}: what is loaded is what was saved",
            variant.name
        );
        assert_eq!(run(&mut second, 2), expected, "{}", variant.name);
        assert!(checkpoint(&second) == checkpoint(&first), "{}", variant.name);
    }
}

#[test]
fn a_checkpoint_holds_what_the_weighting_method_learned() {
    let network = small();
    let options = options(MetaWeightNet::default());
    let mut first = trainer(&network, &options);
    let initial = first.weighting_state("theta").unwrap().unwrap();
    run(&mut first, 3);
    let bytes = checkpoint(&first);
    let learned = first.weighting_state("theta").unwrap().unwrap();
    assert_eq!(learned.len(), 301);
    assert_ne!(initial, learned);

    let mut second = trainer(&network, &options);
    load(&mut second, &bytes, Contents::Checkpoint).unwrap();
    assert_eq!(second.weighting_state("theta").unwrap().unwrap(), learned);

    // Parameters alone leave it as it is, and plain training has no such state.
    let mut third = trainer(&network, &options);
    load(&mut third, &bytes, Contents::Parameters).unwrap();
    assert_eq!(third.weighting_state("theta").unwrap().unwrap(), initial);
    let plain = trainer(&network, &TrainerOptions { weighting: Uniform.into(), ..options });
    assert_eq!(plain.weighting_state("theta").unwrap(), None);
}

fn differences(result: Result<(), TrainError>) -> Vec<Difference> {
    match result {
        Err(TrainError::OtherRun { differences, .. }) => differences,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_what_differs() {
    let network = small();
    let base = options(L2rw::default());
    let mut first = trainer(&network, &base);
    run(&mut first, 2);
    let bytes = checkpoint(&first);
    let of = |change: &dyn Fn(&mut TrainerOptions)| {
        let mut options = base.clone();
        change(&mut options);
        options
    };
    let sgd = Optimizer::Sgd { momentum: 0.5, nesterov: false };
    let l2rw = L2rw { decay_in_clean_gradient: true, ..L2rw::default() };
    let cases: [(&str, &str, &str, TrainerOptions); 12] = [
        ("batch", "12", "13", of(&|o| o.batch = 13)),
        ("clean_batch", "8", "7", of(&|o| o.clean_batch = 7)),
        ("crop_pad", "1", "2", of(&|o| o.crop_pad = 2)),
        ("flip", "true", "false", of(&|o| o.flip = false)),
        ("seed", "1", "2", of(&|o| o.seed = 2)),
        ("mean[1]", "0.5", "0.4", of(&|o| o.mean[1] = 0.4)),
        ("deviation[2]", "0.5", "0.25", of(&|o| o.deviation[2] = 0.25)),
        ("weight_decay", "0.0002", "0.0", of(&|o| o.weight_decay = 0.0)),
        ("schedule.initial", "0.1", "0.2", of(&|o| o.schedule = Schedule::constant(0.2))),
        ("length of schedule.drops", "0", "1", of(&|o| o.schedule = Schedule::tenths(0.1, [5]))),
        ("optimizer", "0.9", "0.5", of(&|o| o.optimizer = sgd)),
        ("weighting.options", "false", "true", of(&|o| o.weighting = l2rw.into())),
    ];
    for (option, stored, current, options) in cases {
        let mut other = trainer(&network, &options);
        let before = checkpoint(&other);
        let found = differences(load(&mut other, &bytes, Contents::Checkpoint));
        assert_eq!(found.len(), 1, "{option}: {found:?}");
        assert_eq!(found[0].option, option);
        assert!(found[0].stored.contains(stored), "{found:?}");
        assert!(found[0].current.contains(current), "{found:?}");
        assert!(checkpoint(&other) == before, "{option}: nothing has changed");
    }

    // Another method, and one that looks at no clean set.
    let mut focal =
        trainer(&network, &of(&|o| o.weighting = Focal { gamma: 2.0, beta: None }.into()));
    let found = differences(load(&mut focal, &bytes, Contents::Checkpoint));
    let names: Vec<&str> = found.iter().map(|difference| difference.option.as_str()).collect();
    assert_eq!(names, ["clean set", "clean_batch", "weighting.method", "weighting.options"]);
}

#[test]
fn a_checkpoint_of_other_data_is_refused_by_the_set() {
    let (network, options) = (small(), options(L2rw::default()));
    let mut first = trainer(&network, &options);
    run(&mut first, 1);
    let bytes = checkpoint(&first);
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, SHAPE);
    let (mut other_pixels, mut other_labels) = (pixels.clone(), labels.clone());
    other_pixels[1234] ^= 1;
    other_labels[7] = (other_labels[7] + 1) % 4;
    let pixel = Examples { values: (&other_pixels).into(), ..set };
    let label = Examples { labels: &other_labels, ..set };
    let context = context(ShaderChecks::Trusted);
    for (train, clean, expected) in
        [(pixel, set, "training set"), (set, pixel, "clean set"), (label, set, "training set")]
    {
        let mut other = Trainer::new(context, &network, train, Some(clean), &options).unwrap();
        let found = differences(load(&mut other, &bytes, Contents::Checkpoint));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].option, format!("{expected}.fingerprint"));
    }
    // Batches from the caller are no data set of which something is known.
    let mut batches = Trainer::for_batches(context, &network, &options).unwrap();
    assert!(!differences(load(&mut batches, &bytes, Contents::Checkpoint)).is_empty());
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_the_name_of_the_layer() {
    let options = options(L2rw::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    trainer(&resnet([4, 8, 8]), &options).save(&path).unwrap();
    let mut other = trainer(&resnet([4, 8, 12]), &options);
    let message = other.load(&path).unwrap_err().to_string();
    assert!(message.contains("stage3") && message.contains("checkpoint.safetensors"), "{message}");

    std::fs::write(&path, b"not a checkpoint").unwrap();
    assert!(matches!(other.load(&path), Err(TrainError::Checkpoint { .. })));

    // No tensor tells one dropout from another.
    let with = |rate| {
        let mut b = Network::builder("small", SHAPE);
        let x = b.dropout("dropout", b.input(), rate);
        b.linear("fc", x, 4);
        b.build().unwrap()
    };
    let bytes = checkpoint(&trainer(&with(0.25), &options));
    let mut other = trainer(&with(0.5), &options);
    let found = differences(load(&mut other, &bytes, Contents::Checkpoint));
    assert_eq!(found[0].option, "network.dropout");
    assert!(found[0].stored.contains("0.25"), "{found:?}");
    load(&mut other, &bytes, Contents::Parameters).unwrap();
}

#[test]
fn parameters_alone_load_under_other_options_but_not_under_another_normalisation() {
    let network = small();
    let base = options(L2rw::default());
    let mut first = trainer(&network, &base);
    run(&mut first, 3);
    let other = TrainerOptions {
        batch: 5,
        seed: 9,
        optimizer: Optimizer::ADAMW,
        weighting: Uniform.into(),
        ..base.clone()
    };
    let (parameters, whole) =
        (first.model().to_safetensors(Contents::Parameters).unwrap(), checkpoint(&first));
    for bytes in [&parameters, &whole] {
        let mut second = trainer(&network, &other);
        load(&mut second, bytes, Contents::Parameters).unwrap();
        assert_eq!(second.steps(), 0);
        assert!(second.model().parameters().is_some());
        let own = second.model().to_safetensors(Contents::Parameters).unwrap();
        let (own, theirs) = (
            SafeTensors::deserialize(&own).unwrap(),
            SafeTensors::deserialize(&parameters).unwrap(),
        );
        for (name, view) in own.tensors() {
            assert!(view.data() == theirs.tensor(&name).unwrap().data(), "{name}");
        }
        let shifted = TrainerOptions { mean: vec![0.5, 0.5, 0.4], ..other.clone() };
        let mut shifted = trainer(&network, &shifted);
        let found = differences(load(&mut shifted, bytes, Contents::Parameters));
        assert_eq!(found[0].to_string(), "mean[2] is 0.5 in the file and 0.4 here");
    }
    let message = load(&mut first, &parameters, Contents::Checkpoint).unwrap_err().to_string();
    assert!(message.contains("no checkpoint"), "{message}");
}

/// The file with another header or other tensors, and a checksum of its own.
fn rewritten(
    bytes: &[u8],
    change: impl Fn(&mut serde_json::Value),
    extra: Option<&str>,
) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let entry = &metadata.metadata().as_ref().unwrap()["l2rw"];
    let mut entry: serde_json::Value = serde_json::from_str(entry).unwrap();
    change(&mut entry["header"]);
    let file = SafeTensors::deserialize(bytes).unwrap();
    let mut tensors: Vec<(String, TensorView<'_>)> = file.tensors();
    let stranger = extra.map(|name| (name.to_owned(), [0_u8; 4]));
    if let Some((name, content)) = &stranger {
        tensors.push((name.clone(), TensorView::new(Dtype::F32, vec![1], content).unwrap()));
    }
    let write = |entry: &serde_json::Value, tensors: &[(String, TensorView<'_>)]| {
        let metadata = [("l2rw".to_owned(), entry.to_string())].into();
        let views = tensors.iter().map(|(name, view)| (name.as_str(), view.clone()));
        safetensors::serialize(views, Some(metadata)).unwrap()
    };
    // The refusal tells what the checksum should be.
    let error = Checkpoint::from_bytes(write(&entry, &tensors)).unwrap_err().to_string();
    let found = error.split("its checksum is ").nth(1).expect("only the checksum is wrong");
    entry["checksum"] = found[..16].into();
    write(&entry, &tensors)
}

#[test]
fn state_of_another_method_or_optimizer_is_refused_by_the_name_of_the_tensor() {
    let mut trainer = trainer(&small(), &options(L2rw::default()));
    run(&mut trainer, 1);
    let bytes = checkpoint(&trainer);
    for name in ["weighting/theta", "optimizer/second_moment/fc1.weight", "fc9.weight"] {
        let other = rewritten(&bytes, |_| (), Some(name));
        let message = load(&mut trainer, &other, Contents::Checkpoint).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
    // What a program put there is none of the model's business.
    let other = rewritten(&bytes, |_| (), Some("host/mine"));
    load(&mut trainer, &other, Contents::Checkpoint).unwrap();
}

#[test]
fn another_version_of_the_form_is_refused_by_the_version_that_wrote_it() {
    let mut trainer = trainer(&small(), &options(L2rw::default()));
    let bytes = checkpoint(&trainer);
    let later = rewritten(
        &bytes,
        |header| (header["format"], header["version"]) = (9.into(), "7.8.9".into()),
        None,
    );
    for contents in [Contents::Checkpoint, Contents::Parameters] {
        let message = load(&mut trainer, &later, contents).unwrap_err().to_string();
        assert!(message.contains("7.8.9") && message.contains("format 9"), "{message}");
    }
    // Another release that writes the same form is read.
    let earlier = rewritten(&bytes, |header| header["version"] = "0.0.1".into(), None);
    load(&mut trainer, &earlier, Contents::Checkpoint).unwrap();
}

/// Warnings of the whole binary.
struct Warnings(Mutex<Vec<String>>);

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn going_on_with_another_version_or_adapter_is_a_warning_by_what_differs() {
    static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut trainer = trainer(&small(), &options(L2rw::default()));
    let bytes = checkpoint(&trainer);
    let other = rewritten(
        &bytes,
        |header| {
            assert_eq!(header["device"]["adapter"], trainer.model().context().describe());
            header["device"]["adapter"] = "an adapter of this test".into();
        },
        None,
    );
    let count = || {
        let warnings = WARNINGS.0.lock().unwrap();
        warnings.iter().filter(|warning| warning.contains("an adapter of this test")).count()
    };
    load(&mut trainer, &other, Contents::Parameters).unwrap();
    assert_eq!(count(), 0, "parameters go on with nothing");
    load(&mut trainer, &other, Contents::Checkpoint).unwrap();
    assert_eq!(count(), 1);
    let all = WARNINGS.0.lock().unwrap().join("\n");
    assert!(all.contains("device.adapter is \"an adapter of this test\" in the file"), "{all}");
}

#[test]
fn what_the_program_keeps_comes_back_with_its_bits() {
    let trainer = trainer(&small(), &options(L2rw::default()));
    let mut host = HostState::new(&("text", 0.1 + 0.2, [1u64 << 60])).unwrap();
    let numbers = vec![f64::NAN, f64::NEG_INFINITY, -0.0, 1e-320];
    host.insert_f64("numbers", numbers.clone());
    host.insert_u32("none", Vec::new());
    let mut ledger = WeightLedger::new(3);
    ledger.record(&[2, 0], &[0.3, 0.7]).unwrap();
    ledger.store(&mut host, "ledger");
    let mut beliefs = Beliefs::new(2, 2);
    beliefs.record(&[0.1, 0.2, 0.3, 0.4]);
    beliefs.store(&mut host, "beliefs");
    let mut early = EarlyStopping::new();
    early.store(&mut host, "nothing seen");
    early.observe(&trainer, &[0, 1], &[f32::INFINITY, 1.0], &[0, 0]).unwrap();
    early.store(&mut host, "early");

    let bytes = trainer.model().to_checkpoint(&host).unwrap();
    assert!(bytes == trainer.model().to_checkpoint(&host).unwrap(), "the same bytes each time");
    let read = Checkpoint::from_bytes(bytes).unwrap();
    assert_eq!(read.host().json::<(String, f64, [u64; 1])>().unwrap().1, 0.1 + 0.2);
    let bits = |all: &[f64]| all.iter().map(|number| number.to_bits()).collect::<Vec<u64>>();
    assert_eq!(bits(read.host().f64s("numbers").unwrap()), bits(&numbers));
    assert!(read.host().u32s("none").unwrap().is_empty());
    assert!(read.host().u32s("numbers").is_err() && read.host().f64s("other").is_err());
    assert_eq!(WeightLedger::stored(read.host(), "ledger").unwrap(), ledger);
    assert_eq!(Beliefs::stored(read.host(), "beliefs").unwrap(), beliefs);
    let again = EarlyStopping::stored(read.host(), "early").unwrap();
    assert_eq!(format!("{again:?}"), format!("{early:?}"));
    assert_eq!(EarlyStopping::stored(read.host(), "nothing seen").unwrap().best_step(), None);
}

#[test]
fn the_last_checkpoints_stay_and_a_damaged_one_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let series = CheckpointSeries::new(folder.path(), "run+es", 2);
    // Neither is of this series.
    std::fs::write(folder.path().join("run+es.9x.safetensors"), "other").unwrap();
    std::fs::write(folder.path().join("run+es+ft.9.safetensors"), "other").unwrap();
    let mut trainer = trainer(&small(), &options(L2rw::default()));
    assert!(series.newest().unwrap().checkpoint.is_none());
    let mut states = Vec::new();
    for number in [8, 9, 10] {
        run(&mut trainer, 1);
        series.save(number, trainer.model(), &HostState::new(&number).unwrap()).unwrap();
        states.push(checkpoint(&trainer));
    }
    let name = |number: u64| folder.path().join(format!("run+es.{number}.safetensors"));
    assert!(!name(8).exists() && name(9).exists() && name(10).exists());
    let newest = series.newest().unwrap();
    assert!(!newest.finished && newest.damaged.is_empty());
    assert_eq!(newest.checkpoint.unwrap().host().json::<u64>().unwrap(), 10);

    let whole = std::fs::read(name(10)).unwrap();
    std::fs::write(name(10), &whole[..whole.len() - 1]).unwrap();
    let newest = series.newest().unwrap();
    let message = newest.damaged[0].to_string();
    assert!(message.contains("run+es.10.safetensors") && message.contains("damaged"), "{message}");
    let before = newest.checkpoint.unwrap();
    trainer.model_mut().resume(&before).unwrap();
    assert_eq!((before.steps(), trainer.steps()), (2, 2));
    assert!(checkpoint(&trainer) == states[1]);

    run(&mut trainer, 1);
    series.finish(trainer.model(), &HostState::default()).unwrap();
    let newest = series.newest().unwrap();
    assert!(newest.finished && series.path().exists());
    assert_eq!(newest.checkpoint.unwrap().steps(), 3);
}

#[test]
fn a_cut_or_flipped_checkpoint_is_an_error_or_a_correct_load() {
    let network = small();
    let base = options(MetaWeightNet::default());
    let mut first = trainer(&network, &base);
    run(&mut first, 3);
    let mut host = HostState::new(&["mine"]).unwrap();
    host.insert_f64("numbers", vec![0.5; 40]);
    let whole = first.model().to_checkpoint(&host).unwrap();
    let parameters = first.model().to_safetensors(Contents::Parameters).unwrap();
    let mut second = trainer(&network, &base);
    let untouched = checkpoint(&second);
    let good = checkpoint(&first);
    let mut random = Pcg64::seed_from_u64(8);
    for _ in 0..100 {
        let cut = &whole[..random.random_range(0..whole.len())];
        for contents in [Contents::Checkpoint, Contents::Parameters] {
            load(&mut second, cut, contents).unwrap_err();
        }
    }
    assert!(checkpoint(&second) == untouched);

    let (mut refused, mut loaded) = (0, 0);
    for place in 0..1000 {
        // Half of them in the header, which is the shorter part.
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let end = if place % 2 == 0 { header } else { whole.len() };
        let mut other = whole.clone();
        other[random.random_range(0..end)] ^= random.random_range(1..=255u8);
        match Checkpoint::from_bytes(other.clone()) {
            Err(_) => {
                refused += 1;
                load(&mut second, &other, Contents::Checkpoint).unwrap_err();
            }
            Ok(read) => {
                loaded += 1;
                assert_eq!(*read.host(), host);
                second.model_mut().resume(&read).unwrap();
                assert!(checkpoint(&second) == good, "what is loaded is right");
                load(&mut second, &untouched, Contents::Checkpoint).unwrap();
            }
        }
    }
    println!("{refused} flips refused, {loaded} without effect");
    assert!(refused >= 990, "{refused}");
    assert!(checkpoint(&second) == untouched, "a refused file changes nothing");

    // Parameters alone are held to their checksum as well, unless that is what is gone.
    let mut refused = 0;
    for _ in 0..200 {
        let mut other = parameters.clone();
        let place = random.random_range(0..other.len());
        other[place] ^= 1 << random.random_range(0..8);
        refused += u32::from(load(&mut second, &other, Contents::Parameters).is_err());
    }
    assert!(refused >= 195, "{refused}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_ones_before() {
    let folder = tempfile::tempdir().unwrap();
    let series = CheckpointSeries::new(folder.path(), "run", 1);
    let mut trainer = trainer(&small(), &options(L2rw::default()));
    run(&mut trainer, 1);
    series.save(1, trainer.model(), &HostState::default()).unwrap();
    // A folder in the place of the file.
    std::fs::create_dir(folder.path().join("run.2.safetensors")).unwrap();
    let error = series.save(2, trainer.model(), &HostState::default()).unwrap_err();
    assert!(matches!(error, TrainError::File(_)), "{error}");
    assert!(folder.path().join("run.1.safetensors").is_file());
    let newest = series.newest().unwrap();
    assert_eq!((newest.damaged.len(), newest.checkpoint.unwrap().steps()), (1, 1));
}
