//! The paper's Figure 3: how example weights are distributed.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    BODY, Chart, HEADING, INK, SMALL, STRONG_BLUE, VERMILLION, chart, heading, look, nothing,
    stroke, style, text_width, thousands, write,
};
use crate::report::ReportError;

const SIZE: (i32, i32) = (1100, 560);
const ZERO_PANEL: i32 = 270;

/// Draws how the mean weights of two groups of training examples are distributed, as the paper's
/// Figure 3 does for clean and flipped labels.
///
/// `title` says what the groups are. Each has a name and one mean weight an example in units of the
/// uniform weight 1/n, so that 1 is what plain training gives everybody. The share of each group
/// with weight zero stands apart on the left, because there it would dwarf the histogram of the
/// positive weights. Values that are not finite are left out and counted in the caption.
///
/// # Errors
///
/// [`ReportError::File`] if the picture cannot be put at `path`.
pub fn weights(
    path: &Path,
    title: &str,
    [first, second]: [(&str, &[f32]); 2],
) -> Result<(), ReportError> {
    let groups =
        [Group::new(first.0, first.1, STRONG_BLUE), Group::new(second.0, second.1, VERMILLION)];
    let dropped = first.1.len() + second.1.len() - groups[0].total - groups[1].total;
    let mut explanation =
        String::from("Mean weight of each training example; 1 is the uniform weight.");
    if dropped > 0 {
        explanation += &format!(" Left out because not finite: {dropped}.");
    }
    surface::save(path, (SIZE.0 as u32, SIZE.1 as u32), |root| {
        heading(root, &format!("Example weights, {title}"), &explanation)?;
        let (_, body) = root.split_vertically(px(HEADING));
        if groups.iter().all(|g| g.total == 0) {
            return nothing(&body, "no weights were measured");
        }
        let (zero, positive) = body.split_horizontally(px(ZERO_PANEL));
        zero_panel(&zero, &groups)?;
        histogram_panel(&positive, &groups)
    })
}

/// One group of examples.
struct Group<'a> {
    name: &'a str,
    color: RGBColor,
    /// Finite weights above zero, ascending.
    positive: Vec<f64>,
    /// Finite weights.
    total: usize,
}

impl<'a> Group<'a> {
    fn new(name: &'a str, weights: &[f32], color: RGBColor) -> Self {
        let finite = weights.iter().filter(|w| w.is_finite());
        let total = finite.clone().count();
        let mut positive: Vec<f64> = finite.map(|&w| f64::from(w)).filter(|&w| w > 0.0).collect();
        positive.sort_by(f64::total_cmp);
        Self { name, color, positive, total }
    }

    fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.total.max(1) as f64
    }

    fn mean(&self) -> f64 {
        self.positive.iter().sum::<f64>() / self.total.max(1) as f64
    }
}

fn zero_panel(area: &Area<'_>, groups: &[Group<'_>; 2]) -> DrawResult {
    let mut chart = chart(area, "weight zero", 10, 0.0..2.0, 0.0..100.0)?;
    let percent = |y: &f64| format!("{y:.0}");
    let mut mesh = chart.configure_mesh();
    look(&mut mesh);
    mesh.disable_x_mesh()
        .x_labels(0)
        .y_labels(10)
        .y_label_formatter(&percent)
        .y_desc("share of the group (%)")
        .draw()?;
    for (left, group) in [0.0, 1.0].into_iter().zip(groups) {
        zero_bar(area, &mut chart, left, group)?;
    }
    Ok(())
}

fn zero_bar(
    area: &Area<'_>,
    chart: &mut Chart<'_, '_>,
    left: f64,
    group: &Group<'_>,
) -> DrawResult {
    let zero = group.percent(group.total - group.positive.len());
    let bar = [(left + 0.15, 0.0), (left + 0.85, zero)];
    chart.draw_series([Rectangle::new(bar, group.color.mix(0.75).filled())])?;
    let label = if group.total == 0 { "–".to_owned() } else { format!("{zero:.1} %") };
    // A label above a full bar would leave the panel.
    let (height, ink, anchor) = if zero > 90.0 {
        (zero - 3.0, RGBColor(255, 255, 255), VPos::Top)
    } else {
        (zero + 2.0, INK, VPos::Bottom)
    };
    let text = style(SMALL, ink, HPos::Center, anchor);
    chart.draw_series([Text::new(label, (left + 0.5, height), text)])?;
    let (x, y) = chart.plotting_area().map_coordinate(&(left + 0.5, 0.0));
    let (origin_x, origin_y) = area.get_base_pixel();
    let below = (x - origin_x, y - origin_y + px(12));
    write(area, group.name, below, style(SMALL, INK, HPos::Center, VPos::Top))
}

/// Equal bins from zero; the last one also holds everything beyond.
struct Bins {
    width: f64,
    count: usize,
}

impl Bins {
    /// Wide enough for 99.5 % of the positive weights of both groups, so that one outlier does not
    /// squeeze the rest into a corner.
    fn new(groups: &[Group<'_>; 2]) -> Self {
        let mut all: Vec<f64> = groups.iter().flat_map(|g| g.positive.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        let quantile = all.get(all.len().saturating_sub(1) * 995 / 1000);
        let end = quantile.map_or(2.0, |q| (q * 1.05).max(2.0));
        let smallest_group = groups.iter().map(|g| g.positive.len()).filter(|&n| n > 0).min();
        let count = (smallest_group.unwrap_or(0) as f64).sqrt().clamp(12.0, 50.0) as usize;
        Self { width: end / count as f64, count }
    }

    fn end(&self) -> f64 {
        self.width * self.count as f64
    }

    fn shares(&self, group: &Group<'_>) -> Vec<f64> {
        let mut counts = vec![0; self.count];
        for weight in &group.positive {
            let bin = (weight / self.width) as usize; // saturates
            counts[bin.min(self.count - 1)] += 1;
        }
        counts.into_iter().map(|n| group.percent(n)).collect()
    }
}

fn histogram_panel(area: &Area<'_>, groups: &[Group<'_>; 2]) -> DrawResult {
    let bins = Bins::new(groups);
    let shares = [bins.shares(&groups[0]), bins.shares(&groups[1])];
    let tallest = shares.iter().flatten().copied().fold(0.0, f64::max);
    let top = headroom(tallest);
    let mut chart = chart(area, "positive weights", 24, 0.0..bins.end(), 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    look(&mut mesh);
    mesh.x_labels(8)
        .y_labels(8)
        .x_desc("mean weight ÷ uniform weight (the last bin holds all beyond)")
        .y_desc("share of the group (%)")
        .draw()?;
    for (group, shares) in groups.iter().zip(&shares) {
        let bar = |(i, &share): (usize, &f64)| {
            let left = i as f64 * bins.width;
            Rectangle::new(
                [(left, 0.0), (left + bins.width, share)],
                group.color.mix(0.35).filled(),
            )
        };
        chart.draw_series(shares.iter().enumerate().map(bar))?;
    }
    for (group, shares) in groups.iter().zip(&shares) {
        chart.draw_series(LineSeries::new(outline(shares, bins.width), stroke(group.color, 3)))?;
    }
    chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, top)], stroke(INK, 2)))?;
    let (x, y) = chart.plotting_area().map_coordinate(&(1.0, top));
    let (origin_x, origin_y) = area.get_base_pixel();
    let place = (x - origin_x + px(6), y - origin_y + px(4));
    write(area, "uniform", place, style(SMALL, INK, HPos::Left, VPos::Top))?;
    legend(area, groups)
}

/// Top of the axis: above the bars there is a line of text.
fn headroom(tallest: f64) -> f64 {
    (tallest * 1.15).max(1.0)
}

fn outline(shares: &[f64], width: f64) -> Vec<(f64, f64)> {
    let steps = shares.iter().enumerate();
    steps
        .flat_map(|(i, &share)| [(i as f64 * width, share), ((i + 1) as f64 * width, share)])
        .chain([(shares.len() as f64 * width, 0.0)])
        .collect()
}

fn legend(area: &Area<'_>, groups: &[Group<'_>; 2]) -> DrawResult {
    let describe = |g: &Group<'_>| {
        let examples = thousands(g.total as u64);
        if g.total == 0 {
            format!("{}: no examples", g.name)
        } else {
            format!("{}: n = {examples}, mean {:.2}", g.name, g.mean())
        }
    };
    let lines = groups.each_ref().map(describe);
    let widest = lines.iter().map(|l| text_width(l, BODY)).max().unwrap_or(0);
    let left = area.dim_in_pixel().0 as i32 - px(40) - widest;
    let ground = [(left - px(34), px(42)), (left + widest + px(8), px(100))];
    area.draw(&Rectangle::new(ground, WHITE.mix(0.85).filled()))?;
    for (i, (group, line)) in groups.iter().zip(&lines).enumerate() {
        let y = px(58 + 26 * i as i32);
        let swatch = [(left - px(26), y - px(7)), (left - px(8), y + px(7))];
        area.draw(&Rectangle::new(swatch, WHITE.filled()))?;
        area.draw(&Rectangle::new(swatch, group.color.mix(0.5).filled()))?;
        write(area, line, (left, y), style(BODY, INK, HPos::Left, VPos::Center))?;
    }
    Ok(())
}
