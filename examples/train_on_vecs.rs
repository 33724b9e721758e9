//! The smallest program: two `Vec`s, a third of the labels wrong, twenty trusted examples.

use l2rw::{gpu::Context, nn::Shape, nn::zoo, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sigpipe::reset();
    // 600 grey images of 4x4 pixels whose bright row tells the class; the first 20 labels are
    // right, of the others every third is wrong.
    let (truth, wrong) = (|i: usize| i * 7 % 4, |i: usize| i >= 20 && i.is_multiple_of(3));
    let pixel = |p: usize| p * p % 61 + 120 * usize::from(p / 4 % 4 == truth(p / 16));
    let images: Vec<u8> = (0..600 * 16).map(|p| pixel(p) as u8).collect();
    let labels: Vec<u32> = (0..600).map(|i| (truth(i) + wrong(i) as usize) as u32 % 4).collect();
    let shape = Shape::new(4, 4, 1);
    let train = train::Examples::new(&images[320..], &labels[20..], shape);
    let clean = train::Examples::new(&images[..320], &labels[..20], shape);
    let options = train::TrainerOptions { clean_batch: 20, ..train::TrainerOptions::plain(1) };
    let (context, network) = (Context::new(None)?, zoo::mlp(shape, &[32], 4)?);
    let mut trainer = train::Trainer::new(&context, &network, train, Some(clean), &options)?;
    for _ in 0..100 {
        let Some(report) = trainer.step()? else { continue };
        let weighed = report.indices.iter().zip(&report.weights);
        let on_wrong: f32 = weighed.filter(|(i, _)| wrong(**i as usize + 20)).map(|(_, w)| w).sum();
        println!("step {}: {on_wrong:.2} of the weight is on wrong labels", report.step);
    }
    Ok(())
}
