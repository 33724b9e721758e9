//! What a learned weight function makes of the loss (Shu et al. 2019, Figure 1).

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    HEADING, INK, PALETTE, SMALL, chart, fit, heading, look, nothing, stroke, style, write,
};
use crate::report::ReportError;

const SIZE: (i32, i32) = (1000, 560);
const LEGEND_WIDTH: i32 = 220;
/// More names than these would not fit beside the chart.
const MAX_NAMES: usize = 18;

/// A curve of weight against loss, with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightFunction {
    /// Method, or method and class.
    pub name: String,
    /// Loss in nats and weight, by increasing loss.
    pub points: Vec<(f64, f64)>,
}

/// Draws weight against loss, a line a function. A curve that falls trusts examples that the
/// network agrees with, as wrong labels call for; one that rises learns from hard ones, as rare
/// classes do. Points that are not finite are left out.
///
/// # Errors
///
/// [`ReportError::File`] if the picture cannot be put at `path`.
pub fn weight_function(path: &Path, functions: &[WeightFunction]) -> Result<(), ReportError> {
    surface::save(path, (SIZE.0 as u32, SIZE.1 as u32), |root| {
        let explanation =
            "Falling: trusts what the network agrees with. Rising: learns from what is hard.";
        heading(root, "Learned weight of an example by its loss", explanation)?;
        let (_, body) = root.split_vertically(px(HEADING));
        let (panel, legend) = body.split_horizontally(px(SIZE.0 - LEGEND_WIDTH));
        draw(&panel, functions)?;
        draw_legend(&legend, functions)
    })
}

fn finite(function: &WeightFunction) -> impl Iterator<Item = (f64, f64)> {
    function.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

fn draw(area: &Area<'_>, functions: &[WeightFunction]) -> DrawResult {
    let points = || functions.iter().flat_map(finite);
    if points().next().is_none() {
        return nothing(area, "no weight function was learned");
    }
    let right = points().fold(0.0, |end: f64, (x, _)| end.max(x)).max(1e-3);
    let top = points().fold(0.0, |end: f64, (_, y)| end.max(y)).max(1e-6) * 1.08;
    let mut chart = chart(area, "", 24, 0.0..right, 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    look(&mut mesh);
    mesh.x_labels(8).y_labels(8).x_desc("loss (nats)").y_desc("weight").draw()?;
    for (i, function) in functions.iter().enumerate() {
        let color = PALETTE[i % PALETTE.len()];
        chart.draw_series(LineSeries::new(finite(function), stroke(color, 4)))?;
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, functions: &[WeightFunction]) -> DrawResult {
    let hidden = functions.len().saturating_sub(MAX_NAMES);
    let names = functions.iter().take(MAX_NAMES).map(|f| f.name.clone());
    let more = (hidden > 0).then(|| format!("and {hidden} more"));
    for (i, name) in names.chain(more).enumerate() {
        let y = px(44 + 24 * i as i32);
        if i < MAX_NAMES {
            let color = PALETTE[i % PALETTE.len()];
            let swatch = [(px(4), y - px(2)), (px(28), y + px(2))];
            area.draw(&Rectangle::new(swatch, color.filled()))?;
        }
        let name = fit(&name, SMALL, px(LEGEND_WIDTH - 44));
        write(area, &name, (px(36), y), style(SMALL, INK, HPos::Left, VPos::Center))?;
    }
    Ok(())
}
