//! Names like `s-model-conf+es+ft`: a weighting method and the schedules around it.

use std::fmt;
use std::str::FromStr;

use crate::weighting::variants;

/// A weighting method with the schedules that papers combine it with, read from a name like
/// `s-model-conf+es+ft`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Name of the method, see [`variants`]; plain training for [`Recipe::CLEAN_ONLY`].
    pub method: String,
    /// CLEAN ONLY (Ren et al. 2018, section 4.2): training on the clean set alone.
    pub clean_only: bool,
    /// "+ES": the parameters that were best on the clean set; see
    /// [`EarlyStopping`](super::EarlyStopping).
    pub early_stopping: bool,
    /// "+FT" (Ren et al. 2018, section 4.2): afterwards plain training on the clean set at the last
    /// learning rate.
    pub fine_tuning: bool,
}

impl Recipe {
    /// Name of plain training on the clean set.
    pub const CLEAN_ONLY: &str = "clean-only";

    /// The combinations of the paper's tables, besides the methods alone.
    pub const COMBINATIONS: [&str; 11] = [
        Self::CLEAN_ONLY,
        "baseline+es",
        "baseline+ft",
        "baseline+es+ft",
        "random+ft",
        "weighted+ft",
        "reed-soft+es",
        "reed-hard+es",
        "s-model-conf+es",
        "s-model-conf+ft",
        "s-model-conf+es+ft",
    ];

    /// Every method alone, then [`Recipe::COMBINATIONS`].
    pub fn all() -> Vec<Self> {
        let names = variants().map(|variant| variant.name).chain(Self::COMBINATIONS);
        names.filter_map(|name| name.parse().ok()).collect()
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('+');
        let name = parts.next().unwrap_or_default();
        let clean_only = name == Self::CLEAN_ONLY;
        if !clean_only && !variants().any(|variant| variant.name == name) {
            let names: Vec<&str> = variants().map(|variant| variant.name).collect();
            let names = names.join(", ");
            let clean_only = Self::CLEAN_ONLY;
            return Err(format!("'{name}' is no method; there are {clean_only}, {names}"));
        }
        let method = if clean_only { "baseline" } else { name }.to_owned();
        let mut recipe = Self { method, clean_only, early_stopping: false, fine_tuning: false };
        for part in parts {
            let flag = match part {
                "es" => &mut recipe.early_stopping,
                "ft" => &mut recipe.fine_tuning,
                _ => {
                    return Err(format!(
                        "'+{part}' in '{text}' is neither '+es' (early stopping) nor '+ft' \
                         (fine-tuning)"
                    ));
                }
            };
            if std::mem::replace(flag, true) {
                return Err(format!("'+{part}' stands twice in '{text}'"));
            }
        }
        if clean_only && (recipe.early_stopping || recipe.fine_tuning) {
            let reason = "the clean set, by which +es chooses and on which +ft trains, is all that \
                          it trains on";
            return Err(format!("'{text}' makes no sense: {reason}; take '{name}'"));
        }
        Ok(recipe)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.clean_only { Self::CLEAN_ONLY } else { &self.method })?;
        f.write_str(if self.early_stopping { "+es" } else { "" })?;
        f.write_str(if self.fine_tuning { "+ft" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads_back_as_it_prints() {
        let all = Recipe::all();
        assert_eq!(all.len(), variants().count() + Recipe::COMBINATIONS.len());
        for recipe in all {
            assert_eq!(recipe.to_string().parse(), Ok(recipe));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, expected) in [
            ("l2rv", "l2rv"),
            ("", "no method"),
            ("l2rw+fs", "+fs"),
            ("baseline+es+es", "twice"),
            ("clean-only+ft", "clean-only+ft"),
            ("clean-only+es", "take 'clean-only'"),
        ] {
            let message = text.parse::<Recipe>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
