//! Label noise and class imbalance as the literature makes them.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::{DataError, Purpose, check_labels, indices_by_class, seeded};

/// A way to make training labels wrong. A share is from 0 to 1, and what it applies to is rounded
/// to whole examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Corruption {
    /// Labels stay as they are.
    #[default]
    None,
    /// `share` of all examples get the label `background` (Ren et al., ICML 2018).
    ///
    /// Examples of the background class count towards the share and stay right, as in the
    /// official code: at a share of 0.4 on ten balanced classes, 36% of the labels are wrong.
    BackgroundFlip {
        /// Share of all examples.
        share: f64,
        /// The class that they get.
        background: u32,
    },
    /// `share` of all examples get the label of another class, all others being equally likely:
    /// UniformFlip as the paper describes it.
    UniformFlip {
        /// Share of all examples.
        share: f64,
    },
    /// `share` of all examples get the label ⌊U(0, C − 1)⌋: UniformFlip as the official code does
    /// it. The last class never results, and the true class may.
    UniformFlipOfficial {
        /// Share of all examples.
        share: f64,
    },
    /// `share` of each class that has an entry in `map` get the class it is mapped to, one that it
    /// is easily taken for (Patrini et al., CVPR 2017). [`asymmetric_map`] has the usual map.
    AsymmetricFlip {
        /// Share of the examples of each mapped class.
        share: f64,
        /// Pairs of a class and the class its examples get; other classes stay as they are.
        map: Vec<(u32, u32)>,
    },
    /// `share` of each class get the label of one of two other classes, which are drawn once for
    /// each class and equally likely: "flip" of Meta-Weight-Net's experiments (Shu et al., NeurIPS
    /// 2019).
    TwoClassFlip {
        /// Share of the examples of each class.
        share: f64,
    },
}

impl Corruption {
    fn check(&self, classes: usize) -> Result<(), DataError> {
        let class_exists = |role, class: u32| match (class as usize) < classes {
            true => Ok(()),
            false => Err(DataError::NoSuchClass { role, class, classes }),
        };
        match self {
            Self::None => Ok(()),
            Self::BackgroundFlip { share, background } => {
                check_share(*share)?;
                class_exists("background", *background)
            }
            Self::UniformFlip { share }
            | Self::UniformFlipOfficial { share }
            | Self::TwoClassFlip { share } => {
                check_share(*share)?;
                let needed = if matches!(self, Self::TwoClassFlip { .. }) { 3 } else { 2 };
                if classes < needed {
                    return Err(DataError::TooFewClasses { classes, needed });
                }
                Ok(())
            }
            Self::AsymmetricFlip { share, map } => {
                check_share(*share)?;
                for (position, &(class, target)) in map.iter().enumerate() {
                    class_exists("source", class)?;
                    class_exists("target", target)?;
                    if map[..position].iter().any(|&(earlier, _)| earlier == class) {
                        return Err(DataError::RepeatedSource { class });
                    }
                }
                Ok(())
            }
        }
    }
}

fn check_share(share: f64) -> Result<(), DataError> {
    // Written so that NaN is refused too.
    if (0.0..=1.0).contains(&share) { Ok(()) } else { Err(DataError::Share { share }) }
}

/// Corrupts `labels`, `[N]`, in place and says which of them are wrong afterwards, `[N]`.
///
/// An example that was chosen but kept its label is not wrong. Where an error is returned, the
/// labels are as they were.
///
/// # Errors
///
/// [`DataError::Share`] for a share outside 0 to 1 or not a number, [`DataError::NoSuchClass`]
/// and [`DataError::RepeatedSource`] for impossible parameters, [`DataError::TooFewClasses`] where
/// there is no other class, and [`DataError::LabelOutOfRange`] for a label from `classes` on.
pub fn apply(
    labels: &mut [u32],
    classes: usize,
    corruption: &Corruption,
    seed: u64,
) -> Result<Vec<bool>, DataError> {
    corruption.check(classes)?;
    check_labels(labels, classes)?;
    let everyone = 0..labels.len();
    let last_class = u32::try_from(classes).map_or(u32::MAX, |classes| classes.saturating_sub(1));
    let before = labels.to_vec();
    let mut rng = seeded(seed, Purpose::Corruption);
    match corruption {
        Corruption::None => {}
        Corruption::BackgroundFlip { share, background } => {
            for index in choose(everyone.collect(), *share, &mut rng) {
                labels[index] = *background;
            }
        }
        Corruption::UniformFlip { share } => {
            for index in choose(everyone.collect(), *share, &mut rng) {
                let other = rng.random_range(0..last_class);
                labels[index] = other + u32::from(other >= labels[index]);
            }
        }
        Corruption::UniformFlipOfficial { share } => {
            for index in choose(everyone.collect(), *share, &mut rng) {
                labels[index] = rng.random_range(0..last_class);
            }
        }
        Corruption::AsymmetricFlip { share, map } => {
            for &(class, target) in map {
                // By the labels from before: a changed example is not to be changed again.
                let members = everyone.clone().filter(|&index| before[index] == class);
                for index in choose(members.collect(), *share, &mut rng) {
                    labels[index] = target;
                }
            }
        }
        Corruption::TwoClassFlip { share } => {
            for class in before.iter().copied().collect::<BTreeSet<u32>>() {
                // Two of the numbers without `class`, which those from it on move up past.
                let first = rng.random_range(0..last_class);
                let apart = u64::from(rng.random_range(1..last_class));
                let second = ((u64::from(first) + apart) % u64::from(last_class)) as u32;
                let targets = [first, second].map(|other| other + u32::from(other >= class));
                let members = everyone.clone().filter(|&index| before[index] == class);
                for index in choose(members.collect(), *share, &mut rng) {
                    labels[index] = targets[rng.random_range(0..targets.len())];
                }
            }
        }
    }
    Ok(labels.iter().zip(&before).map(|(after, before)| after != before).collect())
}

/// `share` of the `candidates`, rounded, in random order.
fn choose(mut candidates: Vec<usize>, share: f64, rng: &mut Pcg64) -> Vec<usize> {
    let count = (share * candidates.len() as f64).round() as usize;
    let (chosen, _) = candidates.partial_shuffle(rng, count);
    chosen.to_vec()
}

/// The usual map for [`Corruption::AsymmetricFlip`].
///
/// For the class names of CIFAR-10: truck → automobile, bird → airplane, deer → horse, cat ↔ dog
/// (Patrini et al., CVPR 2017). For all others: each class to the next, the last to the first.
pub fn asymmetric_map(class_names: &[String]) -> Vec<(u32, u32)> {
    const LOOKALIKES: [(&str, &str); 5] = [
        ("truck", "automobile"),
        ("bird", "airplane"),
        ("deer", "horse"),
        ("cat", "dog"),
        ("dog", "cat"),
    ];
    let number =
        |name| class_names.iter().position(|known| known == name).map(|class| class as u32);
    let pairs = LOOKALIKES.iter().map(|&(class, target)| Some((number(class)?, number(target)?)));
    let classes = class_names.len() as u32;
    match pairs.collect::<Option<Vec<_>>>() {
        Some(map) if classes == 10 => map,
        _ => (0..classes).map(|class| (class, (class + 1) % classes)).collect(),
    }
}

/// The examples that remain in a long-tailed version of a data set: indices into `labels`, `[N]`,
/// in ascending order.
///
/// Class c of C keeps ⌊n·μ^(c/(C−1))⌋ random examples, where n is the size of the largest class
/// and μ = 1/`imbalance_factor` (Cui et al., CVPR 2019), and never more than it has.
///
/// # Errors
///
/// [`DataError::ImbalanceFactor`] for a factor that is not a number of at least 1,
/// [`DataError::ImbalanceEmpties`] where a class would keep nothing, and
/// [`DataError::LabelOutOfRange`] for a label from `classes` on.
pub fn long_tail(
    labels: &[u32],
    classes: usize,
    imbalance_factor: f64,
    seed: u64,
) -> Result<Vec<usize>, DataError> {
    if !(imbalance_factor.is_finite() && imbalance_factor >= 1.0) {
        return Err(DataError::ImbalanceFactor { factor: imbalance_factor });
    }
    let members = indices_by_class(labels, classes)?;
    let largest = members.iter().map(Vec::len).max().unwrap_or(0);
    let mut rng = seeded(seed, Purpose::LongTail);
    let mut kept = Vec::new();
    for (class, mut members) in members.into_iter().enumerate() {
        let exponent = class as f64 / (classes - 1).max(1) as f64;
        let share = (1.0 / imbalance_factor).powf(exponent);
        let count = (largest as f64 * share) as usize;
        let (chosen, _) = members.partial_shuffle(&mut rng, count);
        if chosen.is_empty() {
            let (factor, class_name) = (imbalance_factor, None);
            return Err(DataError::ImbalanceEmpties { factor, class, class_name, largest });
        }
        kept.extend_from_slice(chosen);
    }
    kept.sort_unstable();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced(classes: u32, per_class: u32) -> Vec<u32> {
        (0..classes * per_class).map(|index| index % classes).collect()
    }

    /// The labels after `corruption`, and which are wrong.
    fn corrupted(labels: &[u32], classes: usize, corruption: &Corruption) -> (Vec<u32>, Vec<bool>) {
        let mut after = labels.to_vec();
        let wrong = apply(&mut after, classes, corruption, 1).unwrap();
        let differs = labels.iter().zip(&after).map(|(before, after)| before != after);
        assert!(wrong.iter().copied().eq(differs), "the mask is what changed");
        (after, wrong)
    }

    fn count(mask: &[bool]) -> usize {
        mask.iter().filter(|&&wrong| wrong).count()
    }

    #[test]
    fn no_corruption_leaves_every_label_right() {
        let labels = balanced(3, 10);
        let (after, wrong) = corrupted(&labels, 3, &Corruption::None);
        assert_eq!((after, count(&wrong)), (labels, 0));
    }

    #[test]
    fn background_flip_counts_the_background_class_towards_the_share() {
        let labels = balanced(10, 1_000);
        let flip = Corruption::BackgroundFlip { share: 0.4, background: 3 };
        let (after, wrong) = corrupted(&labels, 10, &flip);
        // 36% wrong and 46% labelled as background; standard deviation about 24 examples.
        assert!((3_500..3_700).contains(&count(&wrong)), "{}", count(&wrong));
        let background = after.iter().filter(|&&label| label == 3).count();
        assert_eq!(background, 1_000 + count(&wrong));
    }

    #[test]
    fn background_flip_at_a_share_of_one_leaves_only_the_background() {
        let flip = Corruption::BackgroundFlip { share: 1.0, background: 0 };
        let (after, wrong) = corrupted(&balanced(4, 25), 4, &flip);
        assert_eq!((after, count(&wrong)), (vec![0; 100], 75));
    }

    #[test]
    fn uniform_flip_makes_exactly_its_share_wrong_and_reaches_every_other_class() {
        let labels = balanced(10, 1_000);
        let (after, wrong) = corrupted(&labels, 10, &Corruption::UniformFlip { share: 0.4 });
        assert_eq!(count(&wrong), 4_000);
        for target in 1..10 {
            let hits = (0..labels.len()).filter(|&i| labels[i] == 0 && after[i] == target).count();
            // 44 expected.
            assert!((15..90).contains(&hits), "class {target}: {hits}");
        }
    }

    #[test]
    fn shares_are_rounded_to_whole_examples() {
        let (_, wrong) = corrupted(&balanced(2, 5), 2, &Corruption::UniformFlip { share: 0.26 });
        assert_eq!(count(&wrong), 3);
    }

    #[test]
    fn the_official_uniform_flip_never_gives_the_last_class_and_may_hit_the_true_one() {
        let labels = balanced(10, 1_000);
        let official = Corruption::UniformFlipOfficial { share: 0.4 };
        let (after, wrong) = corrupted(&labels, 10, &official);
        assert!((3_500..3_700).contains(&count(&wrong)), "{}", count(&wrong));
        let newly_last = (0..labels.len()).any(|i| wrong[i] && after[i] == 9);
        assert!(!newly_last);
    }

    #[test]
    fn asymmetric_flip_changes_its_share_of_each_mapped_class_and_nothing_else() {
        let labels = balanced(4, 100);
        let flip = Corruption::AsymmetricFlip { share: 0.3, map: vec![(0, 1), (1, 0), (3, 1)] };
        let (after, _) = corrupted(&labels, 4, &flip);
        let moved = |from, to| (0..400).filter(|&i| labels[i] == from && after[i] == to).count();
        assert_eq!([moved(0, 1), moved(1, 0), moved(3, 1), moved(2, 2)], [30, 30, 30, 100]);
        assert_eq!([moved(0, 0), moved(1, 1), moved(3, 3)], [70, 70, 70]);
    }

    #[test]
    fn two_class_flip_moves_its_share_of_each_class_to_two_others() {
        let labels = balanced(5, 200);
        let (after, wrong) = corrupted(&labels, 5, &Corruption::TwoClassFlip { share: 0.4 });
        assert_eq!(count(&wrong), 5 * 80);
        for class in 0..5 {
            let moved = |to| (0..1000).filter(|&i| labels[i] == class && after[i] == to).count();
            let moves: Vec<usize> = (0..5).filter(|to| *to != class).map(moved).collect();
            let targets: Vec<usize> = moves.into_iter().filter(|count| *count > 0).collect();
            assert_eq!((targets.len(), targets.iter().sum::<usize>()), (2, 80));
            // 40 expected, standard deviation below 5.
            assert!(targets.iter().all(|count| (20..=60).contains(count)), "{targets:?}");
        }
        let mut two = balanced(2, 5);
        assert!(apply(&mut two, 2, &Corruption::TwoClassFlip { share: 0.4 }, 1).is_err());
    }

    #[test]
    fn the_same_seed_corrupts_the_same_examples_and_another_seed_others() {
        let with = |seed| {
            let mut labels = balanced(10, 100);
            apply(&mut labels, 10, &Corruption::UniformFlip { share: 0.5 }, seed).unwrap();
            labels
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn corrupted_labels_stay_the_same_from_release_to_release() {
        let mut labels = balanced(5, 4);
        apply(&mut labels, 5, &Corruption::UniformFlip { share: 0.5 }, 42).unwrap();
        let expected = [1, 3, 4, 3, 2, 0, 0, 3, 3, 4, 0, 1, 0, 3, 2, 0, 1, 2, 4, 1];
        assert_eq!(labels, expected);
    }

    fn refusal(classes: usize, corruption: &Corruption) -> DataError {
        let mut labels = vec![0, 0, 0];
        let error = apply(&mut labels, classes, corruption, 1).unwrap_err();
        assert_eq!(labels, [0, 0, 0], "labels are left alone");
        error
    }

    #[test]
    fn shares_outside_zero_to_one_are_refused_with_their_value() {
        for share in [-0.1, 1.5, f64::NAN, f64::INFINITY] {
            for corruption in [
                Corruption::BackgroundFlip { share, background: 0 },
                Corruption::UniformFlip { share },
                Corruption::UniformFlipOfficial { share },
                Corruption::AsymmetricFlip { share, map: vec![] },
            ] {
                let message = refusal(2, &corruption).to_string();
                assert!(message.contains(&share.to_string()), "{message}");
            }
        }
    }

    #[test]
    fn classes_that_do_not_exist_are_refused_by_role_and_number() {
        let background = Corruption::BackgroundFlip { share: 0.1, background: 2 };
        assert!(refusal(2, &background).to_string().contains("background class 2"));
        let target = Corruption::AsymmetricFlip { share: 0.1, map: vec![(0, 7)] };
        assert!(refusal(2, &target).to_string().contains("target class 7"));
        let source = Corruption::AsymmetricFlip { share: 0.1, map: vec![(8, 0)] };
        assert!(refusal(2, &source).to_string().contains("source class 8"));
    }

    #[test]
    fn a_class_with_two_targets_is_refused() {
        let flip = Corruption::AsymmetricFlip { share: 0.1, map: vec![(1, 0), (1, 2)] };
        assert!(matches!(refusal(3, &flip), DataError::RepeatedSource { class: 1 }));
    }

    #[test]
    fn uniform_flips_of_a_single_class_are_refused() {
        for flip in
            [Corruption::UniformFlip { share: 0.1 }, Corruption::UniformFlipOfficial { share: 0.1 }]
        {
            assert!(matches!(refusal(1, &flip), DataError::TooFewClasses { classes: 1, .. }));
        }
    }

    #[test]
    fn labels_out_of_range_are_refused_and_absurd_class_counts_do_not_panic() {
        let flip = Corruption::UniformFlip { share: 1.0 };
        let error = apply(&mut [0, 5], 3, &flip, 1).unwrap_err();
        assert!(matches!(error, DataError::LabelOutOfRange { index: 1, label: 5, classes: 3 }));
        assert_eq!(apply(&mut [0, 5], usize::MAX, &flip, 1).unwrap(), [true, true]);
        assert!(long_tail(&[0, 1], usize::MAX, 2.0, 1).is_err());
        assert!(super::super::stratified_clean_split(&[0, 0], usize::MAX, 1, 1).is_err());
    }

    #[test]
    fn the_cifar10_map_confuses_the_lookalikes() {
        let names = [
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ];
        let map = asymmetric_map(&names.map(str::to_owned));
        assert_eq!(map, [(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)]);
    }

    #[test]
    fn the_map_of_other_classes_goes_to_the_next_and_round() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(asymmetric_map(&names), [(0, 1), (1, 2), (2, 0)]);
        assert_eq!(asymmetric_map(&[]), []);
    }

    fn class_sizes(labels: &[u32], kept: &[usize], classes: u32) -> Vec<usize> {
        let size = |class| kept.iter().filter(|&&index| labels[index] == class).count();
        (0..classes).map(size).collect()
    }

    #[test]
    fn a_long_tail_follows_the_published_class_sizes() {
        let labels = balanced(10, 5_000);
        let kept = long_tail(&labels, 10, 100.0, 1).unwrap();
        let published = [5_000, 2_997, 1_796, 1_077, 645, 387, 232, 139, 83, 50];
        assert_eq!(class_sizes(&labels, &kept, 10), published);
        assert!(kept.is_sorted());
    }

    #[test]
    fn an_imbalance_factor_of_one_keeps_everything() {
        let labels = balanced(3, 7);
        assert!(long_tail(&labels, 3, 1.0, 1).unwrap().into_iter().eq(0..21));
        assert_eq!(long_tail(&[0, 0], 1, 50.0, 1).unwrap(), [0, 1]);
    }

    #[test]
    fn a_long_tail_that_empties_a_class_is_refused_by_class() {
        let error = long_tail(&balanced(3, 7), 3, 10.0, 1).unwrap_err();
        assert!(matches!(error, DataError::ImbalanceEmpties { class: 2, largest: 7, .. }));
    }

    #[test]
    fn imbalance_factors_below_one_or_not_finite_are_refused() {
        for factor in [0.99, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = long_tail(&balanced(3, 7), 3, factor, 1).unwrap_err();
            assert!(matches!(error, DataError::ImbalanceFactor { .. }), "{factor}: {error}");
        }
    }
}
