//! Which model served a call, from what was asked for, what the caller says, and what the provider says.

use super::{Extraction, STANDARD_TIER};
use crate::model::ModelRef;

/// The tier of batch jobs: what a single answer of one says of its tier is that of the machines behind it.
const BATCH_TIER: &str = "batch";

/// What a provider's answer says of who served it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// The model's id; absent where the answer has none that prices could go by.
    pub model: Option<String>,
    /// The tier.
    pub provider_tier: Option<String>,
    /// The region.
    pub region: Option<String>,
}

impl Served {
    /// What the answer to a call of `api` says.
    ///
    /// Bedrock's answers name the bare model, and its prices go by the inference profile that was asked for.
    pub fn of(api: &str, extraction: &Extraction) -> Self {
        let api = api.trim().to_ascii_lowercase();
        let by_profile = ["aws", "bedrock", "amazon"].iter().any(|name| api.starts_with(name));
        Self {
            model: extraction.model.clone().filter(|_| !by_profile),
            provider_tier: extraction.provider_tier.clone(),
            region: extraction.region.clone(),
        }
    }

    /// The model that is priced; absent where nothing but `asked` is known. What the caller `said` of the model that
    /// answered stands.
    ///
    /// A call that asked for a dear tier and was served in the standard one is billed as standard.
    pub fn answered(&self, asked: &ModelRef, said: Option<&ModelRef>) -> Option<ModelRef> {
        if said.is_none() && *self == Self::default() {
            return None;
        }
        let known = |field: fn(&ModelRef) -> &String| said.map(field).filter(|text| !text.is_empty()).cloned();
        let tier = match self.provider_tier.as_deref() {
            Some(STANDARD_TIER) if asked.provider_tier != BATCH_TIER => String::new(),
            None | Some(STANDARD_TIER) => asked.provider_tier.clone(),
            Some(tier) => tier.to_owned(),
        };
        let reported = |reported: &Option<String>, asked: &String| reported.clone().unwrap_or_else(|| asked.clone());
        Some(ModelRef {
            provider_name: known(|model| &model.provider_name).unwrap_or_else(|| asked.provider_name.clone()),
            model: known(|model| &model.model).unwrap_or_else(|| reported(&self.model, &asked.model)),
            provider_tier: known(|model| &model.provider_tier).unwrap_or(tier),
            region: known(|model| &model.region).unwrap_or_else(|| reported(&self.region, &asked.region)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::extract;
    use super::*;

    fn asked(tier: &str) -> ModelRef {
        ModelRef { provider_tier: tier.into(), ..ModelRef::new("openai", "gpt-4o") }
    }

    fn tier(asked_tier: &str, reported: Option<&str>) -> String {
        let served = Served { provider_tier: reported.map(str::to_owned), model: Some("m".into()), region: None };
        served.answered(&asked(asked_tier), None).unwrap().provider_tier
    }

    #[test]
    fn the_tier_that_served_counts_not_the_one_that_was_asked_for() {
        assert_eq!(tier("priority", Some("standard")), "", "served without priority, billed without");
        assert_eq!(tier("priority", None), "priority", "nothing said");
        assert_eq!(tier("", Some("flex")), "flex");
        assert_eq!(tier("flex", Some("priority")), "priority");
        assert_eq!(tier("batch", Some("standard")), "batch");
    }

    #[test]
    fn what_the_caller_says_stands() {
        let served = Served { model: Some("m".into()), provider_tier: Some("flex".into()), region: Some("eu".into()) };
        let said = ModelRef { provider_tier: "priority".into(), ..ModelRef::new("openai", "mine") };
        let answered = served.answered(&asked(""), Some(&said)).unwrap();
        assert_eq!(answered, ModelRef { region: "eu".into(), ..said });
        assert_eq!(Served::default().answered(&asked("flex"), None), None);
    }

    #[test]
    fn bedrocks_prices_go_by_the_profile_that_was_asked_for() {
        let body = br#"{"model":"claude-haiku-4-5-20251001","usage":{"input_tokens":1,"output_tokens":1}}"#;
        let profile = ModelRef::new("aws", "global.anthropic.claude-haiku-4-5-20251001-v1:0");
        let answered = |api: &str| Served::of(api, &extract(api, body).unwrap()).answered(&profile, Some(&profile));
        assert_eq!(answered("aws.anthropic").unwrap().model, profile.model);
        let served = Served::of("aws.anthropic", &extract("aws.anthropic", body).unwrap());
        assert_eq!(served.answered(&profile, None), None, "nothing else is known");
        let direct = Served::of("anthropic.messages", &extract("anthropic.messages", body).unwrap());
        assert_eq!(direct.answered(&asked(""), None).unwrap().model, "claude-haiku-4-5-20251001");
    }
}
