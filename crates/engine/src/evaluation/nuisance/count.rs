//! What a model says of images with nuisances, counted, and the table of several models.

use serde::{Deserialize, Serialize};

use super::{Change, NUISANCES, Nuisance, Size};
use crate::Result;
use crate::data::dataset::TestSet;
use crate::data::image::{self, RgbImage};
use crate::data::labelled::LabelledImage;
use crate::evaluation::Share;
use crate::evaluation::table::Table;
use crate::inspect::Detector;
use crate::verdict::decision::Verdict;

/// Most good images, and most defective ones, that are looked at.
const MOST: usize = 40;

/// What a model says of images with one nuisance: good ones with a small nuisance, good and defective ones with a large one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NuisanceCount {
    /// [`Nuisance::name`].
    pub nuisance: String,
    /// Images.
    pub images: usize,
    /// Those called defective.
    pub defective: usize,
    /// Those called unfamiliar.
    pub unfamiliar: usize,
    /// Those called unfamiliar, or the same as without the nuisance.
    pub kept: usize,
}

impl NuisanceCount {
    /// None yet.
    fn none(nuisance: &Nuisance) -> Self {
        Self {
            nuisance: nuisance.name.to_owned(),
            ..Self::default()
        }
    }

    fn add(&mut self, plain: Verdict, changed: Verdict) {
        self.images += 1;
        self.defective += usize::from(changed == Verdict::Defective);
        self.unfamiliar += usize::from(changed == Verdict::Unfamiliar);
        self.kept += usize::from(changed == Verdict::Unfamiliar || changed == plain);
    }

    /// Adds what was counted of other images.
    fn plus(mut self, other: &Self) -> Self {
        self.images += other.images;
        self.defective += other.defective;
        self.unfamiliar += other.unfamiliar;
        self.kept += other.kept;
        self
    }

    /// Both kinds of false alarm together, in percent, with the counts.
    fn alarms(&self) -> String {
        let share = Share {
            of: self.defective + self.unfamiliar,
            all: self.images,
        };
        share.value().map_or_else(
            || "n/a".into(),
            |value| {
                format!(
                    "{:.1} ({}+{}/{})",
                    100.0 * value,
                    self.defective,
                    self.unfamiliar,
                    self.images
                )
            },
        )
    }

    fn kept(&self) -> Share {
        Share {
            of: self.kept,
            all: self.images,
        }
    }
}

/// Whether counts are those of today's list of nuisances.
pub fn are_complete(counts: &[NuisanceCount]) -> bool {
    counts
        .iter()
        .map(|own| &*own.nuisance)
        .eq(NUISANCES.iter().map(|own| own.name))
}

/// The counts of several runs together; empty if none has any.
pub(crate) fn pooled<'a>(runs: impl Iterator<Item = &'a [NuisanceCount]>) -> Vec<NuisanceCount> {
    let mut runs = runs.filter(|counts| are_complete(counts));
    let Some(first) = runs.next() else {
        return Vec::new();
    };
    runs.fold(first.to_vec(), |sum, counts| {
        let pairs = sum.into_iter().zip(counts);
        pairs.map(|(sum, own)| sum.plus(own)).collect()
    })
}

/// Shows a model images of a test set with every nuisance, in the order of [`NUISANCES`]; so many of the good and of the
/// defective ones at most, evenly picked. Images that cannot be read are left out, and those without a verdict are not
/// counted. `progress` hears how many images of how
/// many are done.
///
/// # Errors
/// [`crate::Error::Device`] if the device was lost.
pub async fn measure(
    detector: &Detector,
    test: &TestSet,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<NuisanceCount>> {
    let mut counts: Vec<NuisanceCount> = NUISANCES.iter().map(NuisanceCount::none).collect();
    let chosen: Vec<(bool, &LabelledImage)> = [false, true]
        .into_iter()
        .flat_map(|defective| {
            let own = test.set.images.iter();
            let own: Vec<&LabelledImage> = own
                .filter(|image| image.class.is_defective() == Some(defective))
                .collect();
            evenly(own.len()).map(move |place| (defective, own[place]))
        })
        .collect();
    for (done, &(defective, labelled)) in chosen.iter().enumerate() {
        if let Ok(image) = image::read(&test.files[labelled.file]) {
            let plain = verdict(detector, &image).await?;
            for (nuisance, count) in NUISANCES.iter().zip(&mut counts) {
                if nuisance.size == Size::Large || !defective {
                    let changed = match nuisance.change {
                        Change::Nothing => plain,
                        _ => verdict(detector, &nuisance.apply(&image)?).await?,
                    };
                    if let Some((plain, changed)) = plain.zip(changed) {
                        count.add(plain, changed);
                    }
                }
            }
        }
        progress(done + 1, chosen.len());
    }
    Ok(counts)
}

async fn verdict(detector: &Detector, image: &RgbImage) -> Result<Option<Verdict>> {
    let detection = detector.detect(image).await?;
    Ok(detector.verdict(&detection))
}

/// Places of at most [`MOST`] of so many, evenly spread.
fn evenly(all: usize) -> impl Iterator<Item = usize> {
    let count = all.min(MOST);
    (0..count).map(move |index| (2 * index + 1) * all / (2 * count))
}

/// The table of several models: names, and what was counted.
#[derive(Debug)]
pub struct NuisanceTable {
    header: Vec<String>,
    rows: Vec<(Vec<String>, Vec<NuisanceCount>)>,
}

impl NuisanceTable {
    /// A table without rows; `names` head the columns before the counts.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            header: names.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; counts of other nuisances than today's are none.
    pub(crate) fn push(&mut self, names: Vec<String>, counts: &[NuisanceCount]) {
        self.rows.push((names, pooled([counts].into_iter())));
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|(_, counts)| counts.is_empty())
    }

    /// One sentence on what the cells say.
    pub const CAPTION: &'static str = "Nuisances in percent. Small ones: good images that are stopped (called defective + \
                                       called unfamiliar / all). Large ones: images whose verdict is kept (called \
                                       unfamiliar, or the same as before)";

    /// What the columns mean.
    pub const EXPLANATIONS: [(&'static str, &'static str); 9] = [
        ("plain", "good test images as they are"),
        (
            "JPEG",
            "saved as JPEG file of this quality, colour at half the resolution",
        ),
        (
            "256 pixels",
            "reduced or enlarged to 256 pixels on the shorter side (Lanczos)",
        ),
        ("white", "red 5 % brighter and blue 5 % darker, or the reverse"),
        ("exposure", "all values times 1.1, 0.9, 0.5 or 2"),
        ("turned", "by 90 degrees"),
        ("scale x2", "the middle half of each side alone"),
        ("scale x0.5", "half the size, with the border's colour around"),
        ("colour cast", "red times 1.4, blue times 0.6"),
    ];

    /// In percent, with counts.
    pub fn table(&self) -> Table {
        let heads = NUISANCES.iter().map(|own| match own.size {
            Size::Small => own.name.to_owned(),
            Size::Large => format!("{}: kept", own.name),
        });
        self.filled(heads, |own, size| match size {
            Size::Small => vec![own.alarms()],
            Size::Large => vec![own.kept().percent()],
        })
    }

    /// The counts as comma-separated values.
    pub fn csv(&self) -> String {
        let heads = NUISANCES.iter().flat_map(|own| {
            let counts: &[&str] = match own.size {
                Size::Small => &["defective", "unfamiliar", "of"],
                Size::Large => &["kept", "of"],
            };
            counts.iter().map(|count| format!("{}: {count}", own.name))
        });
        let table = self.filled(heads, |own, size| {
            let counts = match size {
                Size::Small => vec![own.defective, own.unfamiliar, own.images],
                Size::Large => vec![own.kept, own.images],
            };
            counts.iter().map(usize::to_string).collect()
        });
        table.to_csv()
    }

    fn filled(
        &self,
        heads: impl Iterator<Item = String>,
        cells: impl Fn(&NuisanceCount, Size) -> Vec<String>,
    ) -> Table {
        let mut table = Table::new(2, self.header.iter().cloned().chain(heads).collect());
        for (names, counts) in &self.rows {
            let none: Vec<NuisanceCount> = NUISANCES.iter().map(NuisanceCount::none).collect();
            let counts = if counts.is_empty() { &none } else { counts };
            let own = counts.iter().zip(&NUISANCES);
            let cells = own.flat_map(|(count, nuisance)| cells(count, nuisance.size));
            table.push(names.iter().cloned().chain(cells).collect());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfamiliar_images_and_kept_verdicts_are_counted() {
        let mut count = NuisanceCount::none(&NUISANCES[0]);
        for (plain, changed) in [
            (Verdict::Good, Verdict::Good),
            (Verdict::Good, Verdict::Defective),
            (Verdict::Good, Verdict::Unfamiliar),
            (Verdict::Defective, Verdict::Good),
            (Verdict::Defective, Verdict::Unfamiliar),
        ] {
            count.add(plain, changed);
        }
        assert_eq!((count.images, count.defective), (5, 1));
        assert_eq!((count.unfamiliar, count.kept), (2, 3));
        assert_eq!(count.alarms(), "60.0 (1+2/5)");
    }

    #[test]
    fn images_are_picked_evenly() {
        assert_eq!(evenly(0).count(), 0);
        assert_eq!(evenly(3).collect::<Vec<_>>(), [0, 1, 2]);
        let picked: Vec<usize> = evenly(100).collect();
        assert_eq!(picked.len(), MOST);
        assert!(
            picked
                .windows(2)
                .all(|pair| (2..=3).contains(&(pair[1] - pair[0])))
        );
        assert!(picked[0] < 3 && picked[MOST - 1] > 96);
    }

    #[test]
    fn counts_are_pooled_and_those_of_another_list_are_none() {
        let counts = |images: usize| -> Vec<NuisanceCount> {
            let own = NUISANCES.iter().map(|own| NuisanceCount {
                images,
                defective: 1,
                ..NuisanceCount::none(own)
            });
            own.collect()
        };
        let (one, two) = (counts(10), counts(20));
        let both = pooled([&one[..], &two, &one[1..]].into_iter());
        assert!(both.iter().all(|own| (own.images, own.defective) == (30, 2)));
        let mut table = NuisanceTable::new(&["set"]);
        assert!(table.is_empty());
        table.push(vec!["a".into()], &one);
        table.push(vec!["b".into()], &one[1..]);
        assert!(!table.is_empty());
        let text = table.table().to_text();
        assert_eq!(text.matches("10.0 (1+0/10)").count(), 10, "{text}");
        assert_eq!(text.matches("0.0 (0/10)").count(), 6, "{text}");
        assert_eq!(text.matches("n/a").count(), NUISANCES.len(), "{text}");
        let csv = table.csv();
        let cells: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(cells, [1 + 10 * 3 + 6 * 2; 3], "{csv}");
    }
}
