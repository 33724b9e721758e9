//! Plots decode, have the right size and show what they should, whatever they are given.

use std::path::Path;

use image::RgbImage;
use l2rw::report::plots::{
    Line, MAX_SUSPECTS, Row, Suspect, Titles, WeightFunction, against, class_label, confusion,
    curves, rows, suspects, weight_function,
};
use l2rw::report::runs::Estimate;
use l2rw::report::{CurvePoint, MethodResult, ReportError, plots};

const VERMILLION: [u8; 3] = [213, 94, 0];
const BLUE: [u8; 3] = [0, 114, 178];
const GREEN: [u8; 3] = [0, 158, 115];

/// Draws into a fresh directory and decodes the picture.
fn drawn(draw: impl FnOnce(&Path) -> Result<(), ReportError>) -> RgbImage {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plot.png");
    draw(&path).unwrap();
    image::open(&path).unwrap().to_rgb8()
}

fn count(picture: &RgbImage, color: [u8; 3]) -> usize {
    picture.pixels().filter(|p| p.0 == color).count()
}

fn point(step: u64, train: f64, test: Option<f64>) -> CurvePoint {
    CurvePoint {
        step,
        train_loss: 1.0,
        train_accuracy: train,
        clean_accuracy: f64::NAN,
        test_accuracy: test,
        corrupted_weight_share: None,
    }
}

fn method(name: &str, curve: Vec<CurvePoint>) -> MethodResult {
    MethodResult {
        name: name.into(),
        test_accuracy: 0.5,
        seconds_per_step: 0.1,
        steps: 100,
        skipped_steps: 0,
        interrupted: false,
        confusion: vec![],
        curve,
        reweighting: None,
    }
}

#[test]
fn curves_show_a_line_a_method_in_its_colour() {
    let curve = |level: f64| (0..50).map(|i| point(i, level, Some(level))).collect();
    let one = drawn(|path| curves(path, &[method("a", curve(0.5))]));
    let two = drawn(|path| curves(path, &[method("a", curve(0.5)), method("b", curve(0.8))]));
    assert_eq!(one.dimensions(), (1600, 560));
    assert_eq!(count(&one, BLUE), 0);
    // Two panels of over 500 pixels each, and the legend.
    assert!(count(&one, VERMILLION) > 1000);
    assert!(count(&two, BLUE) > 1000);
}

#[test]
fn curves_grow_with_the_legend_of_many_methods() {
    let curve = |i: usize| vec![point(0, 0.1, None), point(9, 0.01 * i as f64, Some(0.5))];
    let methods: Vec<_> = (0..27).map(|i| method("a method of a long name", curve(i))).collect();
    let picture = drawn(|path| curves(path, &methods));
    assert!(picture.height() > 27 * 26, "{}", picture.height());
}

/// A unit test in `src/report/plots/curves.rs` finds that 42 lines differ; it cannot know how many
/// methods there are, because `report` knows nothing of training.
#[test]
fn curves_tell_all_methods_and_combinations_apart() {
    assert!(l2rw::train::Recipe::all().len() <= 42);
}

#[test]
fn curves_survive_empty_single_and_nan_histories() {
    let odd = [
        method("", vec![]),
        method("single", vec![point(0, 0.5, Some(0.5))]),
        method("nan", vec![point(1, f64::NAN, Some(f64::NAN)), point(2, f64::INFINITY, None)]),
        method("far", vec![point(u64::MAX, 7.0, Some(-3.0))]),
    ];
    for i in 0..odd.len() {
        drawn(|path| curves(path, &odd[i..=i]));
    }
    drawn(|path| curves(path, &odd));
    drawn(|path| curves(path, &[]));
}

fn weights(path: &Path, clean: &[f32], flipped: &[f32]) -> Result<(), ReportError> {
    let groups = [("clean", clean), ("flipped", flipped)];
    plots::weights(path, "clean and flipped labels", groups)
}

#[test]
fn weights_show_how_many_are_zero() {
    let none = drawn(|path| weights(path, &[1.0; 100], &[1.0; 100]));
    let all = drawn(|path| weights(path, &[1.0; 100], &[0.0; 100]));
    assert_eq!(none.dimensions(), (1100, 560));
    // The bar of the flipped examples, three quarters vermillion on white.
    let bar = [224, 134, 64];
    let near =
        |p: &RgbImage| p.pixels().filter(|q| (0..3).all(|c| q.0[c].abs_diff(bar[c]) < 3)).count();
    assert!(near(&all) > 15_000, "{}", near(&all));
    assert!(near(&none) < 100, "{}", near(&none));
}

#[test]
fn weights_survive_nothing_nan_infinity_and_extremes() {
    drawn(|path| weights(path, &[], &[]));
    drawn(|path| weights(path, &[f32::NAN], &[f32::INFINITY]));
    drawn(|path| weights(path, &[1.0], &[]));
    drawn(|path| weights(path, &[f32::MAX, f32::MIN_POSITIVE], &[-1.0, 0.0]));
}

#[test]
fn confusion_darkens_with_the_share_and_greys_absent_classes() {
    let right: Vec<Vec<u32>> = vec![vec![9, 0], vec![0, 9]];
    let absent: Vec<Vec<u32>> = vec![vec![9, 0], vec![0, 0]];
    let darkest = [8, 48, 107];
    let grey = [225, 225, 225];
    let first = drawn(|path| confusion(path, &[("right", &right)], &["cat", "dog"]));
    let second = drawn(|path| confusion(path, &[("absent", &absent)], &["cat", "dog"]));
    assert!(count(&first, darkest) > 6_000 && count(&first, grey) < 50);
    assert!(count(&second, darkest) > 3_000 && count(&second, grey) > 7_000);
}

#[test]
fn confusion_puts_matrices_side_by_side() {
    let matrix = vec![vec![1_u32; 100]; 100];
    let one = drawn(|path| confusion(path, &[("a", &matrix)], &[]));
    let two = drawn(|path| confusion(path, &[("a", &matrix), ("b", &matrix)], &[]));
    let four = drawn(|path| confusion(path, &[("a", &matrix[..]); 4], &[]));
    assert_eq!(one.height(), two.height());
    assert!(two.width() > one.width() + 400 && four.height() > one.height() + 400);
}

#[test]
fn confusion_survives_no_matrix_one_class_and_refuses_crooked_ones() {
    drawn(|path| confusion(path, &[], &[]));
    drawn(|path| confusion(path, &[("empty", &[])], &["a"]));
    drawn(|path| confusion(path, &[("one", &[vec![3]])], &["a class of a very long name indeed"]));
    let path = Path::new("never-written.png");
    let error = confusion(path, &[("crooked", &[vec![1, 2]])], &[]).unwrap_err();
    assert!(error.to_string().contains("crooked"), "{error}");
    assert!(!path.exists());
}

#[test]
fn names_that_the_fonts_cannot_write_become_numbers_and_others_stay() {
    for (name, label) in
        [("猫", "class 3"), ("قط", "class 3"), ("собака", "собака"), ("café", "café")]
    {
        assert_eq!(class_label(name, 3), label);
    }
    let matrix = vec![vec![3, 1], vec![0, 2]];
    let picture = |names: [&str; 2]| drawn(|path| confusion(path, &[("m", &matrix)], &names));
    assert_eq!(picture(["猫", "狗"]), picture(["class 0", "class 1"]));
    assert_ne!(picture(["собака", "кот"]), picture(["class 0", "class 1"]));
}

fn suspect<'a>(image: &'a [u8], truth: Option<&str>, weight: f32) -> Suspect<'a> {
    Suspect { image, given: "cat".into(), truth: truth.map(str::to_owned), weight }
}

#[test]
fn suspects_are_enlarged_threefold_and_framed_by_whether_they_are_wrong() {
    let image: Vec<u8> = [10, 200, 30].repeat(32 * 32);
    let wrong = drawn(|path| suspects(path, &[suspect(&image, Some("dog"), 0.0)], 32, 32, 3));
    let right = drawn(|path| suspects(path, &[suspect(&image, Some("cat"), 0.0)], 32, 32, 3));
    let unknown = drawn(|path| suspects(path, &[suspect(&image, None, 0.0)], 32, 32, 3));
    assert_eq!(count(&wrong, [10, 200, 30]), 96 * 96);
    let frame = 104 * 104 - 96 * 96;
    assert!(count(&wrong, VERMILLION) >= frame && count(&wrong, GREEN) == 0);
    assert!(count(&right, GREEN) >= frame && count(&right, VERMILLION) == 0);
    assert_eq!(count(&unknown, GREEN) + count(&unknown, VERMILLION), 0);
}

#[test]
fn suspects_show_the_lowest_weights_and_drop_the_rest() {
    let (low, high) = ([1, 2, 250], [250, 2, 1]);
    let mut all: Vec<_> = (0..MAX_SUSPECTS).map(|_| suspect(&high, None, f32::NAN)).collect();
    all.push(suspect(&low, None, 0.5));
    let picture = drawn(|path| suspects(path, &all, 1, 1, 3));
    assert_eq!(count(&picture, low), 96 * 96);
    assert_eq!(count(&picture, high), (MAX_SUSPECTS - 1) * 96 * 96);
}

#[test]
fn suspects_come_grey_large_or_not_at_all() {
    drawn(|path| suspects(path, &[], 32, 32, 3));
    let grey = [90_u8; 28 * 20];
    let picture = drawn(|path| suspects(path, &[suspect(&grey, None, 1.0)], 28, 20, 1));
    // The edges of letters hit the same grey now and then.
    let image = |pixels: usize| pixels..pixels + 100;
    let shown = count(&picture, [90; 3]);
    assert!(image(84 * 60).contains(&shown), "{shown}");
    let large = vec![90_u8; 500 * 400 * 4];
    let picture = drawn(|path| suspects(path, &[suspect(&large, None, 1.0)], 500, 400, 4));
    let shown = count(&picture, [90; 3]);
    assert!(image(224 * 179).contains(&shown), "{shown}");
}

#[test]
fn weight_functions_survive_any_input() {
    let function = |name: &str, points: Vec<(f64, f64)>| {
        let name = name.to_owned();
        WeightFunction { name, points }
    };
    drawn(|path| weight_function(path, &[]));
    let falling = (0..50).map(|i| (f64::from(i) * 0.1, 1.0 / f64::from(1 + i))).collect();
    let one = drawn(|path| weight_function(path, &[function("mwn", falling)]));
    let none = drawn(|path| weight_function(path, &[function("mwn", vec![(f64::NAN, 1.0)])]));
    assert_ne!(one, none);
    let many: Vec<_> =
        (0..100).map(|i| function(&format!("class {i}"), vec![(0.0, 0.0)])).collect();
    drawn(|path| weight_function(path, &many));
}

#[test]
fn suspects_of_another_shape_are_refused_by_number() {
    let image = [0_u8; 12];
    let pair = [suspect(&image, None, 0.0), suspect(&image[..11], None, 0.0)];
    let path = Path::new("never-written.png");
    let error = suspects(path, &pair, 2, 2, 3).unwrap_err();
    assert!(error.to_string().contains("suspect 1"), "{error}");
    assert!(suspects(path, &[], 2, 2, 5).is_err() && suspects(path, &[], 0, 2, 3).is_err());
    assert!(!path.exists());
}

fn estimate(mean: f64, half_width: f64) -> Estimate {
    Estimate { mean, half_width: Some(half_width) }
}

const TITLES: Titles<'static> = Titles { title: "t", explanation: "e", x: "x", y: "y" };

#[test]
fn intervals_are_drawn_as_high_as_they_are() {
    // The highest and the lowest pixel of the line's colour in the chart.
    let extent = |half: f64| {
        let points = [(0.1, estimate(50.0, half)), (0.5, estimate(50.0, 30.0))];
        let lines = [
            Line { name: "a".into(), points: points[..1].to_vec() },
            Line { name: "b".into(), points: points[1..].to_vec() },
        ];
        let picture = drawn(|path| against(path, TITLES, &lines));
        let (left, right) = (0..picture.width() * 3 / 4, |p: &[u8; 3]| *p == VERMILLION);
        let y = left.flat_map(|x| (0..picture.height()).map(move |y| (x, y)));
        let y: Vec<u32> =
            y.filter(|(x, y)| right(&picture.get_pixel(*x, *y).0)).map(|(_, y)| y).collect();
        y.iter().max().unwrap() - y.iter().min().unwrap()
    };
    let (small, large) = (extent(10.0), extent(20.0));
    assert!(large > small * 17 / 10, "{small} {large}");
}

#[test]
fn rows_have_a_dot_for_what_is_known() {
    let row = |measured, published| Row { name: "l2rw".into(), measured, published };
    let both = [row(Some(estimate(80.0, 2.0)), Some(estimate(86.7, 0.5)))];
    let without = [row(None, Some(estimate(86.7, 0.5)))];
    let draw = |all: &[Row]| drawn(|path| rows(path, "title", "published", all));
    assert!(count(&draw(&both), BLUE) > 100);
    assert_eq!(count(&draw(&without), BLUE), 0);
}

#[test]
fn estimates_without_numbers_say_so_and_nothing_panics() {
    let odd = [f64::NAN, f64::INFINITY, -5.0, 1e300];
    let lines: Vec<Line> = odd
        .iter()
        .map(|value| Line { name: "x".into(), points: vec![(*value, estimate(*value, 1.0))] })
        .collect();
    drawn(|path| against(path, TITLES, &lines));
    drawn(|path| against(path, TITLES, &[]));
    let all = odd.map(|value| Row {
        name: "x".into(),
        measured: Some(estimate(value, f64::NAN)),
        published: None,
    });
    drawn(|path| rows(path, "title", "published", &all));
    drawn(|path| rows(path, "title", "published", &[]));
}
