//! Examples with labels in memory, as all readers return them.

use std::ops::Range;

use super::{DataError, Values, indices_by_class};

/// Labelled examples of one size, held in memory: images, or features as images of one pixel.
///
/// The fields are public because training code uploads them as they are; a value made by
/// [`Dataset::new`] satisfies what is said about them here.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Data set and split, for people: `"CIFAR-10 train"`.
    pub name: String,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// 1 for grey images, 3 for RGB; of features their number.
    pub channels: usize,
    /// One name for each class; its length is the number of classes.
    pub class_names: Vec<String>,
    /// In row-major `[N, H, W, C]` order.
    pub values: Values,
    /// `[N]` class numbers, each below `class_names.len()`.
    pub labels: Vec<u32>,
}

impl Dataset {
    /// Checks and wraps `values`, `[N, H, W, C]`, and `labels`, `[N]`; `shape` is `[H, W, C]`.
    ///
    /// # Errors
    ///
    /// [`DataError::Shape`] where a dimension is zero or `values` are not `N·H·W·C`,
    /// [`DataError::LabelOutOfRange`] for a label without a class name, and
    /// [`DataError::EmptyClass`] for a class without examples.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        class_names: Vec<String>,
        values: impl Into<Values>,
        labels: Vec<u32>,
    ) -> Result<Self, DataError> {
        let (name, values) = (name.into(), values.into());
        let [height, width, channels] = shape;
        let image_bytes = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        let expected = image_bytes.and_then(|bytes| bytes.checked_mul(labels.len()));
        if image_bytes == Some(0) || expected != Some(values.len()) {
            return Err(DataError::Shape {
                data_set: name,
                examples: labels.len(),
                shape,
                found: values.len(),
            });
        }
        let members = indices_by_class(&labels, class_names.len())?;
        if let Some(class) = members.iter().position(Vec::is_empty) {
            let class_name = class_names[class].clone();
            return Err(DataError::EmptyClass { data_set: name, class, class_name });
        }
        Ok(Self { name, height, width, channels, class_names, values, labels })
    }

    /// Examples of `width` features, `values` `[N, width]` row by row: images of 1×1×`width`.
    ///
    /// # Errors
    ///
    /// As [`Dataset::new`].
    pub fn features(
        name: impl Into<String>,
        width: usize,
        class_names: Vec<String>,
        values: Vec<f32>,
        labels: Vec<u32>,
    ) -> Result<Self, DataError> {
        Self::new(name, [1, 1, width], class_names, values, labels)
    }

    /// The number of examples, N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples at all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The values of one example, `H·W·C`.
    pub fn example_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Image `index` as `[H, W, C]` bytes; `None` from [`len`](Self::len) on, and of floats.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        self.values.as_bytes()?.get(self.place_of(index)?)
    }

    /// Features `index`, or the floats of an image `[H, W, C]`; `None` from [`len`](Self::len) on,
    /// and of bytes.
    pub fn features_of(&self, index: usize) -> Option<&[f32]> {
        self.values.as_floats()?.get(self.place_of(index)?)
    }

    fn place_of(&self, index: usize) -> Option<Range<usize>> {
        let start = index.checked_mul(self.example_len())?;
        Some(start..start.checked_add(self.example_len())?)
    }

    /// Adds the examples of `other` behind the last.
    ///
    /// # Errors
    ///
    /// [`DataError::Unlike`] where shape, number of classes or kind of values differ; nothing has
    /// changed then.
    pub fn append(&mut self, other: &Self) -> Result<(), DataError> {
        let shape = |set: &Self| (set.height, set.width, set.channels, set.classes());
        if shape(self) != shape(other) || !self.values.append(&other.values) {
            let (data_set, other) = (self.name.clone(), other.name.clone());
            return Err(DataError::Unlike { data_set, other });
        }
        self.labels.extend_from_slice(&other.labels);
        Ok(())
    }

    /// Indices of the first `count` examples of each class, ascending.
    pub fn first_of_each_class(&self, count: usize) -> Vec<usize> {
        let mut taken = vec![0; self.classes()];
        let is_wanted = |index: &usize| {
            let class = self.labels.get(*index).and_then(|label| taken.get_mut(*label as usize));
            class.is_some_and(|taken| {
                *taken += 1;
                *taken <= count
            })
        };
        (0..self.len()).filter(is_wanted).collect()
    }

    /// The examples at `indices`, in that order; an index may repeat.
    ///
    /// Class names stay as they are, so a subset may have classes without examples.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`] for an index that is not below [`len`](Self::len),
    /// [`DataError::Shape`] where there are fewer values than the labels need.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        let missing = |&index: &usize| DataError::IndexOutOfRange { index, len: self.len() };
        let example = |index: &usize| {
            let known = self.labels.get(*index).zip(self.place_of(*index));
            known.map(|(label, place)| (*label, place)).ok_or_else(|| missing(index))
        };
        let examples = indices.iter().map(example).collect::<Result<Vec<_>, _>>()?;
        let (labels, places): (Vec<u32>, Vec<Range<usize>>) = examples.into_iter().unzip();
        let values = self.values.gathered(&places);
        // Only of a set whose fields were set to what `new` refuses.
        let shape = || DataError::Shape {
            data_set: self.name.clone(),
            examples: self.len(),
            shape: [self.height, self.width, self.channels],
            found: self.values.len(),
        };
        let values = values.ok_or_else(shape)?;
        Ok(Self {
            name: self.name.clone(),
            class_names: self.class_names.clone(),
            values,
            labels,
            ..*self
        })
    }
}

/// A data set with its official division into training and test examples. Both parts have the
/// same shape of examples and the same classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What a model may learn from.
    pub train: Dataset,
    /// What a model is judged on; its labels are never corrupted.
    pub test: Dataset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("class {class}")).collect()
    }

    fn three_images() -> Dataset {
        Dataset::new("three", [1, 2, 1], names(2), vec![1u8, 2, 3, 4, 5, 6], vec![0, 1, 0]).unwrap()
    }

    #[test]
    fn an_image_is_a_slice_of_the_nhwc_bytes() {
        let data = three_images();
        assert_eq!(data.image(1), Some(&[3, 4][..]));
        assert_eq!(data.image(3), None);
        assert_eq!(data.image(usize::MAX), None);
        assert_eq!((data.len(), data.classes(), data.example_len()), (3, 2, 2));
    }

    #[test]
    fn a_subset_keeps_the_given_order_and_repetitions() {
        let subset = three_images().subset(&[2, 0, 2]).unwrap();
        assert_eq!(subset.values, Values::Bytes(vec![5, 6, 1, 2, 5, 6]));
        assert_eq!(subset.labels, [0, 0, 0]);
        assert_eq!(subset.classes(), 2);
    }

    #[test]
    fn the_first_of_each_class_are_in_the_order_of_the_set() {
        let data = three_images();
        assert_eq!(data.first_of_each_class(1), [0, 1]);
        assert_eq!(data.first_of_each_class(2), [0, 1, 2]);
        assert!(data.first_of_each_class(0).is_empty());
    }

    #[test]
    fn features_are_images_of_one_pixel_and_have_no_bytes() {
        let values = vec![0.5, -1.0, 2.0, 3.0, 0.25, 1e9];
        let data = Dataset::features("two", 3, names(2), values, vec![1, 0]).unwrap();
        assert_eq!((data.height, data.width, data.channels), (1, 1, 3));
        assert_eq!((data.features_of(1), data.image(1)), (Some(&[3.0, 0.25, 1e9][..]), None));
        let subset = data.subset(&[1, 1]).unwrap();
        assert_eq!(subset.features_of(1), data.features_of(1));
        assert_eq!(subset.labels, [0, 0]);
    }

    #[test]
    fn sets_are_joined_where_they_are_alike() {
        let mut data = three_images();
        data.append(&three_images().subset(&[1]).unwrap()).unwrap();
        assert_eq!((data.len(), data.image(3), data.labels[3]), (4, Some(&[3, 4][..]), 1));
        let before = data.clone();
        let floats = Dataset::new("f", [1, 2, 1], names(2), vec![0.5, 1.0, 2.0, 0.0], vec![0, 1]);
        let wider = Dataset::new("w", [1, 1, 1], names(2), vec![0u8; 2], vec![0, 1]);
        for other in [floats.unwrap(), wider.unwrap()] {
            let error = data.append(&other).unwrap_err().to_string();
            assert!(error.contains("three") && error.contains(&other.name), "{error}");
        }
        assert_eq!(data, before);
    }

    #[test]
    fn a_subset_index_past_the_end_is_an_error_with_both_numbers() {
        let error = three_images().subset(&[0, 3]).unwrap_err();
        assert!(matches!(error, DataError::IndexOutOfRange { index: 3, len: 3 }), "{error}");
    }

    #[test]
    fn images_of_the_wrong_length_are_refused_with_the_expected_and_found_sizes() {
        let error =
            Dataset::new("odd", [2, 2, 3], names(1), vec![0u8; 23], vec![0, 0]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("odd") && message.contains("24"), "{message}");
        assert!(message.contains("23"), "{message}");
    }

    #[test]
    fn a_shape_whose_product_overflows_is_refused() {
        let shape = [usize::MAX, 2, 3];
        let error = Dataset::new("huge", shape, names(1), vec![0u8; 6], vec![0]).unwrap_err();
        assert!(matches!(error, DataError::Shape { .. }), "{error}");
    }

    #[test]
    fn a_shape_with_a_zero_dimension_is_refused() {
        let error =
            Dataset::new("flat", [0, 2, 3], names(1), Vec::<u8>::new(), vec![0]).unwrap_err();
        assert!(matches!(error, DataError::Shape { .. }), "{error}");
    }

    #[test]
    fn a_label_without_a_class_name_is_refused_with_its_index() {
        let error =
            Dataset::new("x", [1, 1, 1], names(2), vec![0u8; 3], vec![0, 1, 2]).unwrap_err();
        assert!(
            matches!(error, DataError::LabelOutOfRange { index: 2, label: 2, classes: 2 }),
            "{error}"
        );
    }

    #[test]
    fn a_class_without_examples_is_refused_by_name() {
        let error = Dataset::new("gap", [1, 1, 1], names(3), vec![0u8; 2], vec![0, 2]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("gap") && message.contains("class 1"), "{message}");
    }
}
