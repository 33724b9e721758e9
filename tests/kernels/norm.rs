//! Normalisations and their derivatives equal the twins.

use l2rw::gpu::TensorId;
use l2rw::ops::norm::{self, Norm, Running};
use l2rw::ops::{NormKind, View};
use l2rw::reference::norm::{self as twin, Affine, NormShape};

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

const EPSILON: f32 = 1e-3;

#[derive(Debug)]
struct Case {
    norm: Norm,
    /// Whether there is a NaN among the inputs.
    nan: bool,
}

fn cases() -> Vec<Case> {
    let group = |groups| NormKind::Group { groups };
    let shapes = [
        (NormKind::Batch, 3, 35, 5),
        (NormKind::Batch, 4, 1, 70),
        (NormKind::Batch, 1, 2, 3),
        (NormKind::Batch, 2, 600, 3),
        (NormKind::Batch, 3, 35, 8),
        (NormKind::Batch, 2, 515, 4),
        (NormKind::Fixed, 3, 35, 5),
        (NormKind::Fixed, 3, 35, 8),
        (NormKind::Fixed, 2, 600, 3),
        (group(2), 3, 7, 12),
        (group(4), 2, 300, 8),
        (group(1), 3, 5, 6),
        (group(3), 3, 7, 6),
        (group(4), 2, 9, 4),
        (group(2), 2, 513, 4),
        (group(2), 9, 9, 16),
        // LayerNorm: one group of a vector.
        (group(1), 5, 1, 70),
        (group(1), 3, 1, 264),
    ];
    let mut cases = Vec::new();
    for (kind, n, positions, channels) in shapes {
        // Scale and ReLU do not care about shapes: every combination once a width of blocks.
        let options: &[(bool, bool)] = match positions {
            35 => &[(false, false), (true, false), (false, true), (true, true)],
            _ => &[(false, false), (true, true)],
        };
        for &(has_scale, relu) in options {
            let norm = Norm {
                kind,
                n,
                whole: None,
                positions,
                channels,
                epsilon: EPSILON,
                has_scale,
                relu,
            };
            cases.push(Case { norm, nan: false });
            cases.extend((positions <= 35).then_some(Case { norm, nan: true }));
        }
    }
    cases
}

/// Inputs of a case and what the twin says about them.
struct Data {
    shape: NormShape,
    relu: bool,
    x: Vec<f64>,
    dx: Vec<f64>,
    dy: Vec<f64>,
    scale: Option<Vec<f64>>,
    shift: Vec<f64>,
    statistics: Vec<(f64, f64)>,
}

impl Data {
    fn new(Case { norm, nan }: &Case) -> Self {
        let Norm { kind, n, positions, channels, .. } = *norm;
        let shape = NormShape { kind, n, positions, channels };
        let mut x: Vec<f64> = values(1, shape.elements()).iter().map(|v| v + 0.5).collect();
        // Of the first example's second channel, and of its last but one position.
        let last = (positions.max(2) - 2) * channels + 1;
        x[last] = if *nan { f64::NAN } else { x[last] };
        let data = Self {
            statistics: twin::statistics(&shape, &x, f64::from(EPSILON)),
            shape,
            relu: norm.relu,
            dx: values(2, x.len()),
            dy: values(3, x.len()),
            scale: norm.has_scale.then(|| values(4, channels)),
            shift: values(5, channels),
            x,
        };
        assert!(data.keeps_clear_of_the_kink(), "{norm:?}: choose other inputs");
        data
    }

    fn affine(&self) -> Affine<'_> {
        Affine { scale: self.scale.as_deref(), shift: &self.shift, relu: self.relu }
    }

    /// Whether rounding cannot change which elements the ReLU lets through.
    fn keeps_clear_of_the_kink(&self) -> bool {
        let affine = Affine { relu: false, ..self.affine() };
        let before_relu = twin::forward(&self.shape, &self.x, &self.statistics, affine);
        !self.relu || before_relu.iter().all(|v| v.is_nan() || v.abs() > 1e-5)
    }

    /// Of parameters that are constants.
    fn tangent_of_input(&self) -> Vec<f64> {
        let (shape, still) = (&self.shape, vec![0.0; self.shape.channels]);
        let affine = self.affine();
        twin::tangent(shape, &self.x, &self.dx, &self.statistics, affine, None, &still)
    }

    fn largest_rstd(&self) -> f64 {
        self.statistics.iter().fold(1.0, |largest, &(_, rstd)| rstd.max(largest))
    }

    /// x̂ inherits the rounding of x and of the mean times rstd; what comes after it has a dozen
    /// more factors around 1, and derivatives bring a second rstd.
    fn tolerance(&self) -> Tolerance {
        Tolerance::roundings(64, self.largest_rstd().powi(2))
    }

    /// Of sums of `terms` elements.
    fn sum_tolerance(&self, terms: usize) -> Tolerance {
        Tolerance::sums(&[terms], 4.0 * self.largest_rstd())
    }
}

/// `[scales | shifts]`, or shifts alone.
fn affine_vector(bench: &mut Bench, scale: Option<&Vec<f64>>, shift: &[f64]) -> View {
    let vector: Vec<f64> = scale.into_iter().flatten().chain(shift).copied().collect();
    let vector = bench.floats(&vector);
    View::whole(&bench.rec, vector)
}

/// Statistics as the kernels store them, `[1 or n, 2, channels]`: groups spread over channels.
fn stored(shape: &NormShape, statistics: &[(f64, f64)]) -> Vec<f64> {
    let examples = if matches!(shape.kind, NormKind::Group { .. }) { shape.n } else { 1 };
    let mut rows = Vec::new();
    for example in 0..examples {
        let of = |channel| statistics[shape.set(example, channel)];
        rows.extend((0..shape.channels).map(|channel| of(channel).0));
        rows.extend((0..shape.channels).map(|channel| of(channel).1));
    }
    rows
}

#[test]
fn statistics_and_outputs_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let data = Data::new(case);
        let x = bench.floats(&data.x);
        let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);
        let moments = norm::statistics(&mut bench.rec, &case.norm, x, None);
        expected.floats(
            "statistics",
            moments,
            stored(&data.shape, &data.statistics),
            data.tolerance(),
        );
        let y = norm::forward(&mut bench.rec, &case.norm, x, moments, affine);
        let reference = twin::forward(&data.shape, &data.x, &data.statistics, data.affine());
        expected.floats("output", y, reference, data.tolerance());
    });
}

#[test]
fn statistics_survive_a_mean_that_dwarfs_the_deviation() {
    let norm = Norm {
        kind: NormKind::Batch,
        n: 3,
        positions: 300,
        channels: 2,
        epsilon: 0.0,
        whole: None,
        has_scale: false,
        relu: false,
    };
    assert_table(&[norm], |norm, bench, expected| {
        // Multiples of 1/32 around 1000 are exact, their squares are not.
        let x: Vec<f64> =
            values(1, 1800).iter().map(|v| 1000.0 + (v * 32.0).round() / 32.0).collect();
        let Norm { kind, n, positions, channels, .. } = *norm;
        let shape = NormShape { kind, n, positions, channels };
        let input = bench.floats(&x);
        let moments = norm::statistics(&mut bench.rec, norm, input, None);
        let reference = stored(&shape, &twin::statistics(&shape, &x, 0.0));
        // The variance of 1/3 through one pass over squares would have lost every digit.
        let tolerance = Tolerance { atol: 0.0, rtol: 1e-5 };
        expected.floats("statistics", moments, reference, tolerance);
    });
}

/// Statistics of a dual number as the kernels store them: behind those of the values the means of
/// x̂·ẋ and ẋ.
fn stored_dual(data: &Data) -> Vec<f64> {
    let means = twin::projections(&data.shape, &data.x, &data.statistics, &data.dx);
    let means =
        stored(&data.shape, &means.iter().map(|&(d, product)| (product, d)).collect::<Vec<_>>());
    [stored(&data.shape, &data.statistics), means].concat()
}

#[test]
fn tangents_equal_the_twin_alone_and_beside_their_values() {
    assert_table(&cases(), |case, bench, expected| {
        let data = Data::new(case);
        let (x, dx) = (bench.floats(&data.x), bench.floats(&data.dx));
        let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);
        let dscale = data.scale.as_ref().map(|scale| values(6, scale.len()));
        let dshift = values(7, data.shift.len());
        let along = affine_vector(bench, dscale.as_ref(), &dshift);
        let reference = twin::tangent(
            &data.shape,
            &data.x,
            &data.dx,
            &data.statistics,
            data.affine(),
            dscale.as_deref(),
            &dshift,
        );
        let tolerance = data.tolerance();

        let moments = norm::statistics(&mut bench.rec, &case.norm, x, None);
        let dy = norm::tangent(&mut bench.rec, &case.norm, x, dx, moments, affine, Some(along));
        expected.floats("tangent", dy, reference.clone(), tolerance);
        let dy = norm::tangent(&mut bench.rec, &case.norm, x, dx, moments, affine, None);
        let alone = data.tangent_of_input();
        expected.floats("tangent of the input alone", dy, alone.clone(), tolerance);

        let moments = norm::dual_statistics(&mut bench.rec, &case.norm, x, dx, None);
        expected.floats("dual statistics", moments, stored_dual(&data), tolerance);
        let (_, dy) = norm::dual(&mut bench.rec, &case.norm, x, dx, moments, affine, None);
        expected.floats("dual's tangent of the input alone", dy, alone, tolerance);
        let (y, dy) = norm::dual(&mut bench.rec, &case.norm, x, dx, moments, affine, Some(along));
        expected.floats("dual's tangent", dy, reference, tolerance);
        let reference = twin::forward(&data.shape, &data.x, &data.statistics, data.affine());
        expected.floats("dual's value", y, reference, tolerance);
    });
}

#[test]
fn input_gradients_equal_the_twin_with_and_without_an_addend() {
    assert_table(&cases(), |case, bench, expected| {
        let data = Data::new(case);
        let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));
        let addend_values = values(8, data.x.len());
        let addend = bench.floats(&addend_values);
        let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);
        let moments = norm::statistics(&mut bench.rec, &case.norm, x, None);
        let mut sums = norm::gradient_sums(&mut bench.rec, &case.norm, x, moments, affine, dy);
        let reference =
            twin::backward(&data.shape, &data.x, &data.dy, &data.statistics, data.affine());
        let added: Vec<f64> = reference.iter().zip(&addend_values).map(|(r, a)| r + a).collect();

        let dx = norm::backward(&mut bench.rec, &sums, x, moments, affine, dy, None);
        expected.floats("gradient", dx, reference, data.tolerance());
        let dx = norm::backward(&mut bench.rec, &sums, x, moments, affine, dy, Some(addend));
        expected.floats("gradient + addend", dx, added.clone(), data.tolerance());

        let out = bench.rec.transient("parameter gradient", affine.len);
        let out = View::whole(&bench.rec, out);
        norm::parameter_gradient(&mut bench.rec, &mut sums, affine, None, out);
        let dx = norm::backward(&mut bench.rec, &sums, x, moments, affine, dy, Some(addend));
        expected.floats("gradient after the parameters'", dx, added, data.tolerance());
    });
}

fn gradient_of_parameters(
    bench: &mut Bench,
    case: &Case,
    data: &Data,
    dy: &[f64],
    weights: Option<&[f64]>,
) -> (TensorId, Vec<f64>) {
    let (x, dy_tensor) = (bench.floats(&data.x), bench.floats(dy));
    let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);
    let moments = norm::statistics(&mut bench.rec, &case.norm, x, None);
    let mut sums = norm::gradient_sums(&mut bench.rec, &case.norm, x, moments, affine, dy_tensor);
    let out = bench.rec.transient("parameter gradient", affine.len);
    let view = View::whole(&bench.rec, out);
    let weights_tensor = weights.map(|weights| bench.floats(weights));
    norm::parameter_gradient(&mut bench.rec, &mut sums, affine, weights_tensor, view);
    let (dscale, dshift) = twin::parameter_gradient(
        &data.shape,
        &data.x,
        dy,
        &data.statistics,
        data.affine(),
        weights,
    );
    let reference = if case.norm.has_scale { [dscale, dshift].concat() } else { dshift };
    (out, reference)
}

#[test]
fn parameter_gradients_equal_the_twin_and_never_see_examples_of_weight_zero() {
    assert_table(&cases(), |case, bench, expected| {
        let data = Data::new(case);
        let n = case.norm.n;
        let tolerance = data.sum_tolerance(n * case.norm.positions);
        let (out, reference) = gradient_of_parameters(bench, case, &data, &data.dy, None);
        expected.floats("gradient", out, reference, tolerance);

        let (mut weights, mut dy) = (values(9, n), data.dy.clone());
        let example = case.norm.positions * case.norm.channels;
        if n > 1 {
            weights[1] = 0.0;
            dy[example..2 * example].fill(f64::NAN);
        }
        let (out, reference) = gradient_of_parameters(bench, case, &data, &dy, Some(&weights));
        expected.floats("weighted gradient", out, reference, tolerance);
    });
}

#[test]
fn similarities_equal_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        let data = Data::new(case);
        let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));
        let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);
        let g_scale = data.scale.as_ref().map(|scale| values(6, scale.len()));
        let g_shift = values(7, data.shift.len());
        let g = affine_vector(bench, g_scale.as_ref(), &g_shift);
        let moments = norm::statistics(&mut bench.rec, &case.norm, x, None);
        let sums = norm::gradient_sums(&mut bench.rec, &case.norm, x, moments, affine, dy);
        let out = bench.rec.transient("similarity", case.norm.n);
        let view = View::whole(&bench.rec, out);
        norm::similarity(&mut bench.rec, &sums, g, view);
        let reference = twin::similarity(
            &data.shape,
            &data.x,
            &data.dy,
            &data.statistics,
            data.affine(),
            g_scale.as_deref(),
            &g_shift,
        );
        let tolerance = data.sum_tolerance(case.norm.positions * case.norm.channels);
        expected.floats("similarity", out, reference, tolerance);
    });
}

#[test]
fn running_statistics_follow_the_batch_and_serve_evaluation() {
    let mut cases = cases();
    cases.retain(|case| case.norm.kind == NormKind::Batch);
    assert_table(&cases, |case, bench, expected| {
        let data = Data::new(case);
        let Norm { n, positions, channels, .. } = case.norm;
        let mut mean = values(6, channels);
        let mut variance: Vec<f64> = values(7, channels).iter().map(|v| v.abs() + 0.1).collect();
        let x = bench.floats(&data.x);
        let before = bench.floats(&[mean.clone(), variance.clone()].concat());
        let affine = affine_vector(bench, data.scale.as_ref(), &data.shift);

        // Evaluation first: the update below changes the buffer.
        let view = View::whole(&bench.rec, before);
        let moments = norm::running_statistics(&mut bench.rec, &case.norm, view);
        let y = norm::forward(&mut bench.rec, &case.norm, x, moments, affine);
        let eps = f64::from(EPSILON);
        let reference = twin::forward_running(
            n,
            positions,
            channels,
            &data.x,
            &mean,
            &variance,
            eps,
            data.affine(),
        );
        // 1/√0.1 is the largest rstd of the running variances.
        expected.floats("evaluation", y, reference, Tolerance::roundings(64, 4.0));

        let running = Running { statistics: view, momentum: 0.25 };
        let moments = norm::statistics(&mut bench.rec, &case.norm, x, Some(running));
        expected.floats(
            "statistics",
            moments,
            stored(&data.shape, &data.statistics),
            data.tolerance(),
        );
        let batch = twin::moments(&data.shape, &data.x);
        let count = data.shape.set_len();
        twin::update_running(&mut mean, &mut variance, 0.25, &batch, count, true);
        let reference = [mean, variance].concat();
        expected.floats("running statistics", before, reference, data.tolerance());
    });
}
