//! Statistics against values worked out by hand.

use l2rw::report::ReportError;
use l2rw::report::stats::{auroc, average_precision, confusion};

#[test]
fn auroc_counts_the_pairs_that_are_in_order() {
    // Positives 0.8 and 0.4, negatives 0.6 and 0.2: three of the four pairs are in order.
    let area = auroc(&[0.8, 0.6, 0.4, 0.2], &[true, false, true, false]);
    assert_eq!(area, Some(0.75));
}

#[test]
fn auroc_counts_a_tie_as_half_a_pair() {
    // Positives 2 and 1, negatives 1, 1 and 0: (3 + 1 + 2 · ½) of 6 pairs.
    let area = auroc(&[2.0, 1.0, 1.0, 1.0, 0.0], &[true, true, false, false, false]);
    assert_eq!(area, Some(5.0 / 6.0));
    assert_eq!(auroc(&[1.0; 5], &[true, false, false, true, false]), Some(0.5));
}

#[test]
fn auroc_of_a_zero_and_a_negative_zero_is_a_tie() {
    assert_eq!(auroc(&[0.0, -0.0], &[true, false]), Some(0.5));
    assert_eq!(auroc(&[-0.0, 0.0], &[true, false]), Some(0.5));
}

#[test]
fn auroc_is_undefined_for_one_class_other_lengths_or_nan() {
    assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
    assert_eq!(auroc(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(auroc(&[], &[]), None);
    assert_eq!(auroc(&[1.0, 2.0], &[true]), None);
    assert_eq!(auroc(&[f64::NAN, 2.0], &[true, false]), None);
}

#[test]
fn average_precision_weights_precision_by_recall_gained() {
    // Hits at ranks 1 and 3: (1/1 + 2/3) / 2.
    let precision = average_precision(&[0.9, 0.8, 0.7, 0.6], &[true, false, true, false]);
    assert!((precision.unwrap() - 5.0 / 6.0).abs() < 1e-15);
}

#[test]
fn average_precision_takes_equal_scores_as_one_threshold() {
    assert_eq!(average_precision(&[1.0; 4], &[true, false, false, false]), Some(0.25));
    assert_eq!(average_precision(&[1.0; 4], &[false, false, false, true]), Some(0.25));
    assert_eq!(average_precision(&[1.0], &[false]), None);
}

#[test]
fn confusion_has_a_row_for_the_truth_and_a_column_for_the_prediction() {
    let counts = confusion(&[0, 0, 1, 2, 2], &[0, 2, 1, 2, 2], 3).unwrap();
    assert_eq!(counts, [[1, 0, 1], [0, 1, 0], [0, 0, 2]]);
}

#[test]
fn confusion_refuses_classes_and_lengths_that_do_not_fit() {
    let outside = confusion(&[0, 5], &[0, 0], 3).unwrap_err();
    assert!(outside.to_string().contains("example 1 has label 5"), "{outside}");
    let lengths = confusion(&[0, 1], &[0], 3);
    assert!(matches!(lengths, Err(ReportError::Input { .. })));
}
