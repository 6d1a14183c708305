//! Prices a call that more than one model may have answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cost::{Cost, PriceError, PriceState, UnitCount};
use super::pricing::price;
use super::sheet::PriceSheet;
use crate::extract::ModelUsage;
use crate::model::ModelRef;
use crate::tokens::TokenUsage;

/// What a call used, in all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used<'a> {
    /// All tokens, those of `additional` included; absent = nothing is known.
    pub usage: Option<&'a TokenUsage>,
    /// Units of the model that was asked for.
    pub units: &'a [UnitCount],
    /// Parts that are billed as other models.
    pub additional: &'a [ModelUsage],
}

impl Used<'_> {
    /// The tokens of the model that was asked for.
    pub fn own(&self) -> Option<TokenUsage> {
        let whole = self.usage?;
        Some(self.additional.iter().fold(whole.clone(), |rest, part| rest.without(&part.usage)))
    }

    /// The cost at the rates of `sheet` and of the sheets in it for other models, line by line.
    ///
    /// A model without a sheet leaves the cost [`PriceState::Partial`] where another one has one.
    ///
    /// # Errors
    /// [`PriceError`] where a line or the sum does not fit, or a quantity is negative.
    pub fn bill(&self, sheet: Option<&PriceSheet>) -> Result<Cost, PriceError> {
        if self.additional.is_empty() {
            return price(self.usage, self.units, sheet);
        }
        let own = sheet.filter(|sheet| !sheet.rates.is_empty());
        let mut cost = price(self.own().as_ref(), self.units, own)?;
        for part in self.additional {
            let other = sheet.and_then(|sheet| sheet.others.get(&part.model));
            add(&mut cost, price(Some(&part.usage), &part.units, other)?)?;
        }
        if let Some(sheet) = sheet {
            cost.catalog_version.clone_from(&sheet.catalog_version);
        }
        Ok(cost)
    }
}

fn add(sum: &mut Cost, part: Cost) -> Result<(), PriceError> {
    let complete = |state| matches!(state, PriceState::Priced | PriceState::Free);
    sum.state = match (sum.state, part.state) {
        (same, other) if same == other => same,
        (left, right) if complete(left) && complete(right) => PriceState::Priced,
        _ => PriceState::Partial,
    };
    sum.usd = sum.usd.plus(part.usd)?;
    sum.lines.extend(part.lines);
    Ok(())
}

/// The sheet of a call of `model` that was also billed as the models of `additional`, each of whose sheets `find` looks up.
pub fn sheet_with_others(
    model: &ModelRef,
    additional: &[ModelUsage],
    find: impl Fn(&ModelRef) -> Option<Arc<PriceSheet>>,
) -> Option<Arc<PriceSheet>> {
    let own = find(model);
    let mut others = BTreeMap::new();
    for part in additional {
        if let Some(sheet) = find(&ModelRef { model: part.model.clone(), ..model.clone() }) {
            others.insert(part.model.clone(), PriceSheet::clone(&sheet.applied_to(Some(&part.usage))));
        }
    }
    let Some(version) = others.values().next().map(|sheet| sheet.catalog_version.clone()) else { return own };
    let without_rates = || PriceSheet {
        catalog_version: version,
        provider_name: model.provider_name.clone(),
        model: model.model.clone(),
        rates: Vec::new(),
        max_output_tokens: 0,
        others: BTreeMap::new(),
    };
    let sheet = own.map_or_else(without_rates, |sheet| PriceSheet::clone(&sheet));
    Some(Arc::new(PriceSheet { others, ..sheet }))
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::price::{LineKind, Rate, UnitPrice};

    fn find(model: &ModelRef) -> Option<Arc<PriceSheet>> {
        let usd = match model.model.as_str() {
            "cheap" => 1,
            "dear" => 10,
            "free" => 0,
            _ => return None,
        };
        let rate = |line| Rate::new(line, UnitPrice::each(Decimal::from(usd)), "test");
        Some(Arc::new(PriceSheet {
            catalog_version: "1".into(),
            provider_name: "p".into(),
            model: model.model.clone(),
            rates: vec![rate(LineKind::InputText), rate(LineKind::OutputText)],
            max_output_tokens: 1,
            others: BTreeMap::new(),
        }))
    }

    fn cost(model: &str, additional: &[(&str, u64, u64)]) -> Cost {
        let additional: Vec<ModelUsage> = additional
            .iter()
            .map(|(model, input, output)| ModelUsage {
                model: (*model).to_owned(),
                usage: TokenUsage::reported(*input, *output),
                units: Vec::new(),
            })
            .collect();
        let whole = additional.iter().fold(TokenUsage::reported(100, 10), |sum, part| sum.with(&part.usage));
        let sheet = sheet_with_others(&ModelRef::new("p", model), &additional, find);
        Used { usage: Some(&whole), units: &[], additional: &additional }.bill(sheet.as_deref()).unwrap()
    }

    #[test]
    fn each_model_is_billed_by_its_own_prices() {
        let cost = cost("cheap", &[("dear", 20, 2), ("free", 5, 5)]);
        let lines: Vec<(String, String, &str)> =
            cost.lines.iter().map(|line| (line.line.name(), line.usd.to_string(), line.model.as_str())).collect();
        let expected = [
            ("input", "100", "cheap"),
            ("output", "10", "cheap"),
            ("input", "200", "dear"),
            ("output", "20", "dear"),
            ("input", "0", "free"),
            ("output", "0", "free"),
        ];
        assert_eq!(lines, expected.map(|(line, usd, model)| (line.to_owned(), usd.to_owned(), model)));
        assert_eq!((cost.state, cost.usd.to_string().as_str()), (PriceState::Priced, "330"));
    }

    #[test]
    fn invariant_7_a_model_without_a_price_leaves_the_cost_incomplete() {
        let state = |model, other| cost(model, &[(other, 1, 1)]).state;
        assert_eq!(state("cheap", "nobody"), PriceState::Partial);
        assert_eq!(state("nobody", "cheap"), PriceState::Partial);
        assert_eq!(state("nobody", "no one"), PriceState::Unpriced);
        assert_eq!(state("free", "free"), PriceState::Free);
        assert_eq!(state("free", "cheap"), PriceState::Priced);
        assert_eq!(cost("cheap", &[]).usd.to_string(), "110");
    }
}
