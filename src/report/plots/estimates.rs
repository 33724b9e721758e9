//! What methods reached over several runs: against a setting, or one beside the other.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    BODY, Chart, FADED, HEADING, INK, PALETTE, SMALL, STRONG_BLUE, chart, fit, heading, look,
    nothing, pale, stroke, style, write,
};
use crate::report::ReportError;
use crate::report::runs::Estimate;

const WIDTH: i32 = 1100;
const HEIGHT: i32 = 620;
const LEGEND_WIDTH: i32 = 250;
const ROW: i32 = 30;

/// A method's estimates along a setting, in per cent.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the method.
    pub name: String,
    /// Setting and estimate, by increasing setting.
    pub points: Vec<(f64, Estimate)>,
}

/// What stands above a picture and at its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Titles<'a> {
    /// Of the picture.
    pub title: &'a str,
    /// A line below it.
    pub explanation: &'a str,
    /// Of the horizontal axis.
    pub x: &'a str,
    /// Of the vertical axis.
    pub y: &'a str,
}

/// Draws per cents against a setting: a line a method, with 95 % intervals where there are several
/// runs. Settings stand at equal distances, as published figures have them; points that are not
/// finite are left out.
///
/// # Errors
///
/// [`ReportError::File`] if the picture cannot be put at `path`.
pub fn against(path: &Path, titles: Titles<'_>, lines: &[Line]) -> Result<(), ReportError> {
    surface::save(path, (WIDTH as u32, HEIGHT as u32), |root| {
        heading(root, titles.title, titles.explanation)?;
        let (_, body) = root.split_vertically(px(HEADING));
        let (panel, legend) = body.split_horizontally(px(WIDTH - LEGEND_WIDTH));
        draw_lines(&panel, titles, lines)?;
        for (i, line) in lines.iter().enumerate() {
            let y = px(46 + 26 * i as i32);
            let color = PALETTE[i % PALETTE.len()];
            let sample = vec![(px(4), y), (px(36), y)];
            legend.draw(&PathElement::new(sample, stroke(color, 5)))?;
            let name = fit(&line.name, BODY, px(LEGEND_WIDTH - 60));
            write(&legend, &name, (px(46), y), style(BODY, INK, HPos::Left, VPos::Center))?;
        }
        Ok(())
    })
}

fn draw_lines(area: &Area<'_>, titles: Titles<'_>, lines: &[Line]) -> DrawResult {
    let mut settings: Vec<f64> =
        lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
    settings.retain(|x| x.is_finite());
    settings.sort_by(f64::total_cmp);
    settings.dedup();
    let range = per_cents(lines.iter().flat_map(|line| line.points.iter().map(|(_, e)| e)));
    let (Some(range), false) = (range, settings.is_empty()) else {
        return nothing(area, "no run has ended");
    };
    let place = |x: f64| settings.iter().position(|known| *known == x).map(|at| at as f64);
    let mut chart = chart(area, "", 24, -0.4..settings.len() as f64 - 0.6, range)?;
    let name = |x: &f64| match settings.get(x.round() as usize) {
        Some(value) if (x - x.round()).abs() < 1e-9 => value.to_string(),
        _ => String::new(),
    };
    let mut mesh = chart.configure_mesh();
    look(&mut mesh);
    mesh.disable_x_mesh()
        .x_labels(settings.len().saturating_mul(2).max(2))
        .x_label_formatter(&name)
        .y_label_formatter(&|y: &f64| format!("{y:.0}"))
        .y_labels(10)
        .x_desc(titles.x)
        .y_desc(titles.y)
        .draw()?;
    for (i, line) in lines.iter().enumerate() {
        let color = PALETTE[i % PALETTE.len()];
        // Beside each other, so that intervals do not hide behind those of other methods.
        let aside = (i as f64 - (lines.len() as f64 - 1.0) / 2.0) * 0.03;
        let points: Vec<(f64, Estimate)> = line
            .points
            .iter()
            .filter(|(_, estimate)| estimate.mean.is_finite())
            .filter_map(|(x, estimate)| Some((place(*x)? + aside, *estimate)))
            .collect();
        let means = points.iter().map(|(x, estimate)| (*x, estimate.mean));
        chart.draw_series(LineSeries::new(means.clone(), stroke(color, 4)))?;
        chart.draw_series(means.map(|point| Circle::new(point, px(4), color.filled())))?;
        for (x, estimate) in points {
            draw_interval(&mut chart, x, estimate, color)?;
        }
    }
    Ok(())
}

fn draw_interval(
    chart: &mut Chart<'_, '_>,
    x: f64,
    estimate: Estimate,
    color: RGBColor,
) -> DrawResult {
    let Some(half) = estimate.half_width else { return Ok(()) };
    let ends = [estimate.mean - half, estimate.mean + half];
    let bar = ends.map(|y| (x, y)).to_vec();
    let caps = ends.map(|y| vec![(x - 0.02, y), (x + 0.02, y)]);
    let all = caps.into_iter().chain([bar]);
    chart.draw_series(all.map(|line| PathElement::new(line, stroke(color, 3))))?;
    Ok(())
}

/// A range that holds all means and their intervals, with ends on fives; `None` without any.
fn per_cents<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Option<Range<f64>> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for estimate in estimates.filter(|estimate| estimate.mean.is_finite()) {
        let half = estimate.half_width.unwrap_or_default();
        (low, high) = (low.min(estimate.mean - half), high.max(estimate.mean + half));
    }
    let low = ((low - 1.0) / 5.0).floor().max(0.0) * 5.0;
    let high = ((high + 1.0) / 5.0).ceil().min(20.0) * 5.0;
    (low < high).then_some(low..high)
}

/// A method's test accuracy in per cent, beside the published one where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the method.
    pub name: String,
    /// As measured; `None` where no run has ended.
    pub measured: Option<Estimate>,
    /// As published.
    pub published: Option<Estimate>,
}

/// Draws a row a method: a dot where the measured accuracy lies and a pale one where the published
/// one does, each with its 95 % interval.
///
/// # Errors
///
/// [`ReportError::File`] if the picture cannot be put at `path`.
pub fn rows(path: &Path, title: &str, published: &str, rows: &[Row]) -> Result<(), ReportError> {
    let height = HEADING + ROW * (rows.len() as i32 + 1) + 90;
    surface::save(path, (WIDTH as u32, height as u32), |root| {
        heading(root, title, &format!("Blue: measured. Grey: {published}. With 95 % intervals."))?;
        let (_, body) = root.split_vertically(px(HEADING));
        let (names, panel) = body.split_horizontally(px(LEGEND_WIDTH - 60));
        let estimates = || rows.iter().flat_map(|row| [&row.measured, &row.published]).flatten();
        let Some(range) = per_cents(estimates()) else {
            return nothing(&panel, "no run has ended");
        };
        let count = rows.len() as f64;
        let mut chart = chart(&panel, "", 24, range, -0.5..count - 0.5)?;
        let mut mesh = chart.configure_mesh();
        look(&mut mesh);
        mesh.disable_y_mesh().y_labels(0).x_labels(10).x_desc("test accuracy (%)").draw()?;
        for (i, row) in rows.iter().enumerate() {
            let y = count - 1.0 - i as f64;
            let both = [(row.published, pale(FADED, 0.7), 0.16), (row.measured, STRONG_BLUE, -0.1)];
            for (estimate, color, aside) in both {
                let Some(estimate) = estimate.filter(|e| e.mean.is_finite()) else { continue };
                let (at, half) = (y + aside, estimate.half_width.unwrap_or_default());
                let line = vec![(estimate.mean - half, at), (estimate.mean + half, at)];
                chart.draw_series([PathElement::new(line, stroke(color, 4))])?;
                chart.draw_series([Circle::new((estimate.mean, at), px(5), color.filled())])?;
            }
            let (_, pixel) = chart.backend_coord(&(0.0, y));
            let (_, top) = names.get_base_pixel();
            let name = fit(&row.name, BODY, px(LEGEND_WIDTH - 90));
            let place = (px(LEGEND_WIDTH - 66), pixel - top);
            write(&names, &name, place, style(BODY, INK, HPos::Right, VPos::Center))?;
        }
        if rows.iter().all(|row| row.published.is_none()) {
            let place = (px(24), px(4));
            write(
                &body,
                "nothing is published",
                place,
                style(SMALL, FADED, HPos::Left, VPos::Top),
            )?;
        }
        Ok(())
    })
}
