//! Sets a small clean set apart from the training examples.

use rand::seq::SliceRandom;

use super::{DataError, Purpose, indices_by_class, seeded};

/// A training set divided into a small clean set and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanSplit {
    /// Indices of the clean examples, ascending.
    pub clean: Vec<usize>,
    /// Indices of the examples left for training, ascending.
    pub train: Vec<usize>,
}

/// Takes `per_class` random examples of each class out of the training examples with these
/// `labels`, `[N]`.
///
/// Split before corrupting labels: the clean examples keep their true ones, and none of them is
/// trained on (Ren et al., ICML 2018; unlike the official code, every class is represented).
///
/// # Errors
///
/// [`DataError::NoCleanExamples`] for a `per_class` of 0, [`DataError::ClassTooSmall`] where a
/// class does not have more than `per_class` examples, and [`DataError::LabelOutOfRange`].
pub fn stratified_clean_split(
    labels: &[u32],
    classes: usize,
    per_class: usize,
    seed: u64,
) -> Result<CleanSplit, DataError> {
    if per_class == 0 {
        return Err(DataError::NoCleanExamples);
    }
    let mut rng = seeded(seed, Purpose::CleanSplit);
    let mut is_clean = vec![false; labels.len()];
    for (class, mut members) in indices_by_class(labels, classes)?.into_iter().enumerate() {
        if members.len() <= per_class {
            let (size, class_name) = (members.len(), None);
            return Err(DataError::ClassTooSmall { class, class_name, size, per_class });
        }
        let (chosen, _) = members.partial_shuffle(&mut rng, per_class);
        for &mut index in chosen {
            is_clean[index] = true;
        }
    }
    let (clean, train) = (0..labels.len()).partition(|&index| is_clean[index]);
    Ok(CleanSplit { clean, train })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<u32> {
        (0..120).map(|index| index * index % 4 % 3).collect()
    }

    #[test]
    fn the_clean_set_has_per_class_examples_of_every_class() {
        let split = stratified_clean_split(&labels(), 2, 7, 1).unwrap();
        let labels = labels();
        for class in 0..2 {
            let count = split.clean.iter().filter(|&&index| labels[index] == class).count();
            assert_eq!(count, 7, "class {class}");
        }
    }

    #[test]
    fn clean_and_training_examples_are_disjoint_and_together_everything() {
        let split = stratified_clean_split(&labels(), 2, 7, 1).unwrap();
        let mut all = [split.clean, split.train].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..120));
    }

    #[test]
    fn the_same_seed_gives_the_same_split_and_another_seed_another() {
        let split = |seed| stratified_clean_split(&labels(), 2, 7, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn a_class_that_would_be_used_up_is_refused_with_its_size() {
        let error = stratified_clean_split(&[0, 0, 0, 1, 1], 2, 2, 1).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("class 1 has 2"), "{message}");
        let names = ["9", "10"].map(str::to_owned);
        let error = stratified_clean_split(&[0, 0, 0, 1, 1], 2, 2, 1).unwrap_err();
        let message = error.with_class_names(&names).to_string();
        assert!(message.contains("class \"10\" has 2"), "{message}");
        assert!(stratified_clean_split(&[0, 0, 0, 1, 1, 1], 2, 2, 1).is_ok());
    }

    #[test]
    fn a_class_without_examples_is_refused() {
        let error = stratified_clean_split(&[0, 0, 0], 2, 1, 1).unwrap_err();
        assert!(matches!(error, DataError::ClassTooSmall { class: 1, size: 0, .. }), "{error}");
    }

    #[test]
    fn a_clean_set_of_nothing_is_refused() {
        let error = stratified_clean_split(&labels(), 2, 0, 1).unwrap_err();
        assert!(matches!(error, DataError::NoCleanExamples), "{error}");
    }

    #[test]
    fn a_label_out_of_range_is_refused() {
        let error = stratified_clean_split(&[0, 0, 2], 2, 1, 1).unwrap_err();
        assert!(
            matches!(error, DataError::LabelOutOfRange { index: 2, label: 2, classes: 2 }),
            "{error}"
        );
    }
}
