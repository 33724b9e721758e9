//! What a run was made of: it lies in its checkpoints, so that no other run goes on from them.

use std::fmt;
use std::hash::Hasher as _;

use serde_json::{Map, Value, json};
use twox_hash::XxHash3_64;

use super::data_sets::GivenSet;
use super::{Cosine, Examples, Schedule, TrainerOptions};
use crate::nn::Network;

/// The name in a description of what [`Contents::Parameters`](super::Contents::Parameters) compare
/// as well: other numbers here are other inputs of the network.
const OF_INPUTS: [&str; 2] = ["mean", "deviation"];

/// 64 bits of a hash (XXH3) over content that comes in parts. It tells apart what differs by
/// accident; it is no defence against forgery.
#[derive(Default)]
pub(super) struct Fingerprint(XxHash3_64);

impl Fingerprint {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        // With their length, so that other cuts are another content.
        self.0.write_u64(bytes.len() as u64);
        self.0.write(bytes);
    }

    pub(super) fn text(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

impl Examples<'_> {
    /// 16 hexadecimal digits that tell this set from others: a hash (XXH3, 64 bits) of shape,
    /// labels and values. Checkpoints hold those of the sets that a [`Trainer`](super::Trainer)
    /// was made with.
    pub fn fingerprint(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(self.shape.to_string().as_bytes());
        fingerprint.add(bytemuck::cast_slice(self.labels));
        fingerprint.add(self.values.as_bytes());
        fingerprint.text()
    }
}

/// What a run on data sets has beyond its options.
pub(super) fn describe_data(
    train: &GivenSet<'_>,
    clean: Option<&GivenSet<'_>>,
    options: &TrainerOptions,
) -> Value {
    let described = |set: &GivenSet<'_>| {
        let (examples, fingerprint) = (set.labels().len(), set.fingerprint());
        json!({ "examples": examples, "fingerprint": fingerprint })
    };
    let mut map = Map::new();
    map.insert("training set".into(), described(train));
    if let Some(clean) = clean {
        map.insert("clean set".into(), described(clean));
    }
    map.insert("crop_pad".into(), json!(options.crop_pad));
    map.insert("flip".into(), json!(options.flip));
    Value::Object(map)
}

/// All that decides the bits of a run, by name. `data` comes from [`describe_data`]; of batches
/// from the caller nothing is known.
pub(super) fn describe(network: &Network, options: &TrainerOptions, data: Value) -> Value {
    // Named one by one, so that nobody adds an option without deciding whether it belongs here.
    let TrainerOptions {
        batch,
        clean_batch,
        weighting,
        schedule,
        optimizer,
        weight_decay,
        crop_pad: _,
        flip: _,
        mean,
        deviation,
        seed,
        synchronised_norm,
        // In the layers of the network.
        frozen: _,
        // Steps whose numbers are finite are the same with each; of others a run may want another.
        not_finite: _,
        // A streamed set gives the same bits.
        device_data_limit: _,
    } = options;
    let numbers = |values: &[f32]| values.iter().map(|value| number(*value)).collect::<Value>();
    let mut map = Map::new();
    if let Value::Object(data) = data {
        map.extend(data);
    }
    map.extend(
        [
            ("batch", json!(batch)),
            ("deviation", numbers(deviation)),
            ("mean", numbers(mean)),
            ("network", describe_network(network)),
            ("optimizer", json!(format!("{optimizer:?}"))),
            ("schedule", describe_schedule(schedule)),
            ("seed", json!(seed)),
            ("weight_decay", number(*weight_decay)),
            (
                "weighting",
                json!({ "method": weighting.name(), "options": format!("{weighting:?}") }),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    // Only where it is on: checkpoints from before there was a choice say nothing of it.
    if *synchronised_norm {
        map.insert("synchronised_norm".into(), json!(true));
    }
    if weighting.uses_clean_set() {
        map.insert("clean_batch".into(), json!(clean_batch));
    }
    Value::Object(map)
}

fn describe_schedule(schedule: &Schedule) -> Value {
    let Schedule { initial, drops, warm_up, cosine } = schedule;
    let drops: Vec<Value> = drops.iter().map(|(at, factor)| json!([at, number(*factor)])).collect();
    let cosine = cosine.map(|Cosine { from, until, last }| {
        json!({ "from": from, "until": until, "last": number(last) })
    });
    json!({ "initial": number(*initial), "drops": drops, "warm_up": warm_up, "cosine": cosine })
}

/// A line for each layer, by its name. How layers are stored on the device does not count.
fn describe_network(network: &Network) -> Value {
    let line = |(at, layer): (usize, &crate::nn::Layer)| {
        let inputs: Vec<usize> = layer.inputs.iter().map(|id| id.0).collect();
        let frozen = if layer.frozen { ", frozen" } else { "" };
        let text = format!("{at}: {:?} of {inputs:?}, {}{frozen}", layer.kind, layer.shape);
        (layer.name.clone(), json!(text))
    };
    network.layers.iter().enumerate().map(line).collect::<Map<_, _>>().into()
}

/// The number with the digits that Rust prints for it, not with those of its f64.
fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}

/// The part of a description that counts for parameters alone.
pub(super) fn of_inputs(description: &Value) -> Value {
    let known = OF_INPUTS.iter().filter_map(|name| Some((*name, description.get(*name)?.clone())));
    known.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// One thing in which a run differs from the one that a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the option, e.g. `batch` or `schedule.initial`.
    pub option: String,
    /// Its value in the file, as JSON; `none` where it has none.
    pub stored: String,
    /// Its value here.
    pub current: String,
}

impl Difference {
    /// In what two descriptions differ, by the names in them. Of lists of different lengths the
    /// lengths are told, else each element that differs.
    pub fn between(stored: &Value, current: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        compare("", Some(stored), Some(current), &mut found);
        found
    }
}

fn compare(
    name: &str,
    stored: Option<&Value>,
    current: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let text = |value: Option<&Value>| value.map_or("none".into(), Value::to_string);
    match (stored, current) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for key in names {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                compare(&path, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() != b.len() => {
            let (stored, current) = (a.len().to_string(), b.len().to_string());
            found.push(Difference { option: format!("length of {name}"), stored, current });
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{name}[{at}]"), Some(a), Some(b), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let (stored, current) = (text(a), text(b));
            found.push(Difference { option: name.to_owned(), stored, current });
        }
    }
}

/// Characters of a value that a message shows: some methods have hundreds of numbers.
const SHOWN: usize = 60;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.stored.chars().zip(self.current.chars());
        let same = pairs.take_while(|(a, b)| a == b).count();
        let long = self.stored.len().max(self.current.len()) > SHOWN;
        let first = if long { same.saturating_sub(SHOWN / 3) } else { 0 };
        let part = |text: &str| {
            let shown: String = text.chars().skip(first).take(SHOWN).collect();
            let before = if first > 0 { "…" } else { "" };
            let after = if text.chars().count() > first + SHOWN { "…" } else { "" };
            format!("{before}{shown}{after}")
        };
        let (stored, current) = (part(&self.stored), part(&self.current));
        write!(f, "{} is {stored} in the file and {current} here", self.option)
    }
}

/// The first few, in a sentence.
pub(super) fn list(differences: &[Difference]) -> String {
    let mut text: Vec<String> = differences.iter().take(4).map(Difference::to_string).collect();
    if differences.len() > text.len() {
        text.push(format!("and {} more", differences.len() - text.len()));
    }
    text.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_the_names_of_what_differs() {
        let stored = json!({ "a": 1, "b": { "c": [1, 2], "d": [1] }, "only": true, "same": null });
        let current = json!({ "a": 2, "b": { "c": [1, 3], "d": [] }, "same": null });
        let found = Difference::between(&stored, &current);
        let text: Vec<String> = found.iter().map(Difference::to_string).collect();
        assert_eq!(
            text,
            [
                "a is 1 in the file and 2 here",
                "b.c[1] is 2 in the file and 3 here",
                "length of b.d is 1 in the file and 0 here",
                "only is true in the file and none here",
            ]
        );
        assert!(Difference::between(&stored, &stored).is_empty());
    }

    #[test]
    fn of_long_values_the_message_shows_where_they_differ() {
        let stored = json!({ "x": format!("{}1{}", "a".repeat(500), "b".repeat(500)) });
        let current = json!({ "x": format!("{}2{}", "a".repeat(500), "b".repeat(500)) });
        let text = list(&Difference::between(&stored, &current));
        assert!(text.contains("a1b") && text.contains("a2b") && text.len() < 250, "{text}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(number(0.1).to_string(), "0.1");
        assert_eq!(number(1e-30).to_string(), "1e-30");
        assert_eq!(number(f32::NAN), Value::Null);
    }

    #[test]
    fn a_fingerprint_sees_every_part() {
        let shape = crate::nn::Shape::new(1, 2, 1);
        let print = |values: &[u8], labels: &[u32], shape| {
            Examples::new(values, labels, shape).fingerprint()
        };
        let base = print(&[1, 2, 3, 4], &[0, 1], shape);
        assert_eq!(base, print(&[1, 2, 3, 4], &[0, 1], shape));
        assert_ne!(base, print(&[1, 2, 3, 5], &[0, 1], shape));
        assert_ne!(base, print(&[1, 2, 3, 4], &[1, 0], shape));
        assert_ne!(base, print(&[1, 2, 3, 4], &[0, 1], crate::nn::Shape::new(2, 1, 1)));
    }
}
