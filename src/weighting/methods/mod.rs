//! One file a method: options, names, WGSL function, [`Method`](super::Method), twin, hand-made
//! cases. A new one takes four lines here: `mod`, `pub use`, an entry in `VARIANTS` and one in
//! `cases`.

mod adaboost;
mod class_weighted;
mod focal;
mod ghm;
mod hard_mining;
mod l2rw;
mod label_smoothing;
mod label_weights;
mod mentornet;
mod mentornet_pd;
mod meta_weight_net;
mod random;
mod reed;
mod resampling;
mod s_model;
mod self_paced;
mod smote;
mod uniform;

pub use adaboost::*;
pub use class_weighted::*;
pub use focal::*;
pub use ghm::*;
pub use hard_mining::*;
pub use l2rw::*;
pub use label_smoothing::*;
pub use label_weights::*;
pub use mentornet::*;
pub use mentornet_pd::*;
pub use meta_weight_net::*;
pub use random::*;
pub use reed::*;
pub use resampling::*;
pub use s_model::*;
pub use self_paced::*;
pub use smote::*;
pub use uniform::*;

use super::registry::Variant;

/// The variants of each file, in the order of tables.
const VARIANTS: &[&[Variant]] = &[
    uniform::VARIANTS,
    l2rw::VARIANTS,
    random::VARIANTS,
    label_weights::VARIANTS,
    focal::VARIANTS,
    ghm::VARIANTS,
    self_paced::VARIANTS,
    hard_mining::VARIANTS,
    adaboost::VARIANTS,
    resampling::VARIANTS,
    smote::VARIANTS,
    reed::VARIANTS,
    s_model::VARIANTS,
    meta_weight_net::VARIANTS,
    mentornet::VARIANTS,
    mentornet_pd::VARIANTS,
];

/// The crate's methods by name, several of a file where they differ in options only.
pub fn variants() -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().copied().flatten()
}

/// Hand-made cases of every file.
#[cfg(test)]
pub(super) fn cases() -> Vec<super::tests::Case> {
    let cases = [
        uniform::cases,
        l2rw::cases,
        random::cases,
        label_weights::cases,
        focal::cases,
        ghm::cases,
        self_paced::cases,
        hard_mining::cases,
        adaboost::cases,
        resampling::cases,
        smote::cases,
        reed::cases,
        s_model::cases,
        meta_weight_net::cases,
        mentornet::cases,
        mentornet_pd::cases,
    ];
    cases.into_iter().flat_map(|cases| cases()).collect()
}
