//! Accuracy against steps.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    BODY, Chart, FADED, HEADING, INK, PALETTE, SMALL, chart, fit, heading, look, nothing, pale,
    stroke, style, thousands, write,
};
use crate::report::{CurvePoint, MethodResult, ReportError};

const WIDTH: i32 = 1600;
const LEGEND_WIDTH: i32 = 320;
const LEGEND_ROW: i32 = 26;
const MIN_HEIGHT: i32 = 560;

/// A smoothed curve has at most this many points: more than the panel has columns to show.
const MAX_POINTS: usize = 200;

/// Dash and gap in pixels; beyond the palette's size its colours come again with the next one.
const DASHES: [Option<(f64, f64)>; 6] = [
    None,
    Some((9.0, 5.0)),
    Some((2.0, 4.0)),
    Some((16.0, 4.0)),
    Some((4.0, 10.0)),
    Some((24.0, 12.0)),
];

/// Draws accuracy against training steps, a line a method: the test set on the left; on the right
/// the training batches by the labels *as given* and, for up to seven methods, the clean set.
///
/// A method that memorises wrong labels climbs on the right while it falls on the left. Batch
/// accuracies are averaged over neighbouring steps; points that are NaN are left out.
///
/// # Errors
///
/// [`ReportError::File`] if the picture cannot be put at `path`.
pub fn curves(path: &Path, methods: &[MethodResult]) -> Result<(), ReportError> {
    let rows = i32::try_from(methods.len()).unwrap_or(i32::MAX / LEGEND_ROW);
    let legend_height = rows.saturating_mul(LEGEND_ROW).saturating_add(HEADING + 70);
    let height = legend_height.max(MIN_HEIGHT);
    surface::save(path, (WIDTH as u32, height as u32), |root| {
        heading(
            root,
            "Accuracy during training",
            "A method that memorises wrong labels, if there are any, climbs on the right and falls \
             on the left.",
        )?;
        let (_, body) = root.split_vertically(px(HEADING));
        let (panels, legend) = body.split_horizontally(px(WIDTH - LEGEND_WIDTH));
        let panels = panels.split_evenly((1, 2));
        let steps = last_step(methods);
        test_panel(&panels[0], methods, steps)?;
        training_panel(&panels[1], methods, steps)?;
        draw_legend(&legend, methods)
    })
}

fn last_step(methods: &[MethodResult]) -> u64 {
    let last = |m: &MethodResult| m.curve.iter().map(|p| p.step).max();
    methods.iter().filter_map(last).max().unwrap_or(0).max(1)
}

type Line = Vec<(f64, f64)>;

fn test_panel(area: &Area<'_>, methods: &[MethodResult], steps: u64) -> DrawResult {
    let lines: Vec<Line> =
        methods.iter().map(|m| smooth(&m.curve, |p| p.test_accuracy, MAX_POINTS)).collect();
    let range = value_range(lines.iter().flatten());
    let mut chart = Panel::new(area, "Test set", steps, range)?;
    for (i, line) in lines.iter().enumerate() {
        chart.line(line, color(i), dash(i), 4)?;
        // Evaluations are few in a short run; a dot shows where they were made.
        if line.len() <= 40 {
            chart.dots(line, color(i))?;
        }
    }
    if lines.iter().all(Vec::is_empty) {
        nothing(area, "no test accuracy was measured")?;
    }
    Ok(())
}

fn training_panel(area: &Area<'_>, methods: &[MethodResult], steps: u64) -> DrawResult {
    let show_clean = methods.len() <= PALETTE.len();
    let points = if methods.len() <= 3 { MAX_POINTS / 3 } else { MAX_POINTS / 6 };
    let given = |m: &MethodResult| smooth(&m.curve, |p| Some(p.train_accuracy), points);
    let clean = |m: &MethodResult| smooth(&m.curve, |p| Some(p.clean_accuracy), points);
    let training: Vec<Line> = methods.iter().map(given).collect();
    let cleans: Vec<Line> = methods.iter().filter(|_| show_clean).map(clean).collect();
    let has_clean = cleans.iter().any(|line| !line.is_empty());
    let title = if has_clean {
        "Training batches: labels as given (solid), clean set (dashed)"
    } else {
        "Training batches, by the labels as given"
    };
    let range = value_range(training.iter().chain(&cleans).flatten());
    let mut chart = Panel::new(area, title, steps, range)?;
    for (i, line) in cleans.iter().enumerate() {
        chart.line(line, pale(color(i), 0.6), Some((6.0, 5.0)), 3)?;
    }
    for (i, line) in training.iter().enumerate() {
        chart.line(line, color(i), dash(i), 4)?;
    }
    if !has_clean && training.iter().all(Vec::is_empty) {
        nothing(area, "no training accuracy was measured")?;
    }
    Ok(())
}

fn color(method: usize) -> RGBColor {
    PALETTE[method % PALETTE.len()]
}

fn dash(method: usize) -> Option<(f64, f64)> {
    DASHES[method / PALETTE.len() % DASHES.len()]
}

/// At most `points` points of a curve: each is the mean over a run of neighbouring finite values.
fn smooth(curve: &[CurvePoint], value: impl Fn(&CurvePoint) -> Option<f64>, points: usize) -> Line {
    let raw: Line = curve
        .iter()
        .filter_map(|p| Some((p.step as f64, value(p)?)))
        .filter(|(_, v)| v.is_finite())
        .collect();
    let mean = |run: &[(f64, f64)]| {
        let n = run.len() as f64;
        (run.iter().map(|p| p.0).sum::<f64>() / n, run.iter().map(|p| p.1).sum::<f64>() / n)
    };
    raw.chunks(raw.len().div_ceil(points).max(1)).map(mean).collect()
}

/// A range of accuracies in per cent that holds all points, with ends on tens.
fn value_range<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> Range<f64> {
    let (low, high) = points
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)));
    if low > high {
        return 0.0..100.0;
    }
    let low = (low * 10.0 - 0.2).floor().clamp(0.0, 9.0) * 10.0;
    let high = (high * 10.0 + 0.2).ceil().clamp(1.0, 10.0) * 10.0;
    low..high.max(low + 10.0)
}

/// Axes of accuracy in per cent against steps.
struct Panel<'a, 'b> {
    chart: Chart<'a, 'b>,
}

impl<'a, 'b> Panel<'a, 'b> {
    fn new(
        area: &'a Area<'b>,
        title: &str,
        steps: u64,
        percent: Range<f64>,
    ) -> Result<Self, DrawingAreaErrorKind<std::convert::Infallible>> {
        let mut chart = chart(area, title, 18, 0.0..steps as f64, percent)?;
        let whole = |x: &f64| {
            if x.fract() == 0.0 { thousands(*x as u64) } else { String::new() }
        };
        let percent = |y: &f64| format!("{y:.0}");
        let mut mesh = chart.configure_mesh();
        look(&mut mesh);
        mesh.x_labels(5)
            .y_labels(10)
            .x_label_formatter(&whole)
            .y_label_formatter(&percent)
            .x_desc("training steps")
            .y_desc("accuracy (%)")
            .draw()?;
        Ok(Self { chart })
    }

    /// `line` holds steps and accuracies of 0 to 1; `width` is in half pixels.
    fn line(
        &mut self,
        line: &[(f64, f64)],
        color: RGBColor,
        dash: Option<(f64, f64)>,
        width: u32,
    ) -> DrawResult {
        let percent = line.iter().map(|&(x, y)| (x, y * 100.0));
        let Some((on, off)) = dash else {
            self.chart.draw_series(LineSeries::new(percent, stroke(color, width)))?;
            return Ok(());
        };
        let area = self.chart.plotting_area();
        let (origin_x, origin_y) = area.get_base_pixel();
        let screen = area.strip_coord_spec();
        let pixels: Vec<(f64, f64)> = percent
            .map(|p| area.map_coordinate(&p))
            .map(|(x, y)| (f64::from(x - origin_x), f64::from(y - origin_y)))
            .collect();
        for piece in dashes(&pixels, on * f64::from(px(1)), off * f64::from(px(1))) {
            screen.draw(&PathElement::new(piece, stroke(color, width)))?;
        }
        Ok(())
    }

    fn dots(&mut self, line: &[(f64, f64)], color: RGBColor) -> DrawResult {
        let percent = line.iter().map(|&(x, y)| (x, y * 100.0));
        self.chart.draw_series(percent.map(|p| Circle::new(p, px(4), color.filled())))?;
        Ok(())
    }
}

/// Cuts a polyline into pieces `on` long with gaps of `off` between them.
fn dashes(line: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(i32, i32)>> {
    let round = |p: (f64, f64)| (p.0.round() as i32, p.1.round() as i32);
    let mut pieces = Vec::new();
    let mut piece: Vec<(i32, i32)> = line.first().map(|&p| round(p)).into_iter().collect();
    let (mut drawing, mut left) = (true, on);
    for pair in line.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length < left {
                left -= length;
                break;
            }
            let t = left / length;
            from = (from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t);
            if drawing {
                piece.push(round(from));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![round(from)];
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        if drawing {
            piece.push(round(to));
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

fn draw_legend(area: &Area<'_>, methods: &[MethodResult]) -> DrawResult {
    let number = px(LEGEND_WIDTH - 24);
    let head = style(SMALL, FADED, HPos::Right, VPos::Top);
    write(area, "last test accuracy", (number, px(12)), head)?;
    for (i, method) in methods.iter().enumerate() {
        let y = px(46 + LEGEND_ROW * i as i32);
        let sample = [(f64::from(px(4)), f64::from(y)), (f64::from(px(40)), f64::from(y))];
        let pieces = match dash(i) {
            Some((on, off)) => dashes(&sample, on * f64::from(px(1)), off * f64::from(px(1))),
            None => vec![vec![(px(4), y), (px(40), y)]],
        };
        for piece in pieces {
            area.draw(&PathElement::new(piece, stroke(color(i), 5)))?;
        }
        let accuracy = if method.test_accuracy.is_finite() {
            format!("{:.1} %", method.test_accuracy * 100.0)
        } else {
            "–".to_owned()
        };
        let name = fit(&method.name, BODY, px(LEGEND_WIDTH - 48 - 24 - 70));
        write(area, &name, (px(48), y), style(BODY, INK, HPos::Left, VPos::Center))?;
        write(area, &accuracy, (number, y), style(BODY, INK, HPos::Right, VPos::Center))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn forty_two_methods_at_once_have_lines_of_their_own() {
        let count = 42;
        let line = |i| {
            let color = color(i);
            let dash = dash(i).map(|(on, off)| (on.to_bits(), off.to_bits()));
            ((color.0, color.1, color.2), dash)
        };
        let lines: HashSet<_> = (0..count).map(line).collect();
        assert_eq!(lines.len(), count);
    }
}
