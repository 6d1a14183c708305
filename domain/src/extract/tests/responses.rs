//! Answers of every family, with the usage that they bill: public API references, contents left out.

use crate::extract::STANDARD_TIER;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

const RESPONSES: &str = include_str!("../../../testdata/responses.jsonl");

#[derive(Deserialize)]
struct Answer {
    shape: String,
    api: String,
    model: String,
    body: Option<Box<RawValue>>,
    events: Option<Vec<Box<RawValue>>>,
    expected_usage: BTreeMap<String, u64>,
    #[serde(default)]
    expected_context: BTreeMap<String, String>,
    reported_cost_usd: Option<String>,
}

impl Answer {
    fn json(&self) -> String {
        match (&self.body, &self.events) {
            (Some(body), _) => body.get().to_owned(),
            (None, Some(events)) => {
                format!("[{}]", events.iter().map(|event| event.get()).collect::<Vec<_>>().join(","))
            }
            (None, None) => panic!("{}: neither body nor events", self.shape),
        }
    }

    fn expected(&self) -> Disjoint {
        self.expected_usage.iter().map(|(name, count)| (name.clone(), count.to_string())).collect()
    }
}

fn answers() -> Vec<Answer> {
    RESPONSES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_answer_bills_what_it_should() {
    let answers = answers();
    assert_eq!(answers.len(), 40);
    for answer in &answers {
        let extraction = extracted(&answer.api, &answer.json());
        assert_eq!(disjoint(&extraction.usage, &extraction.units), answer.expected(), "{}", answer.shape);
        let tier = answer.expected_context.get("service_tier").filter(|tier| *tier != "default");
        let served = extraction.provider_tier.as_ref().filter(|tier| *tier != STANDARD_TIER);
        assert_eq!(served, tier, "{}", answer.shape);
        let cost = extraction.reported_cost.map(|cost| cost.to_string());
        assert_eq!(cost, answer.reported_cost_usd, "{}", answer.shape);
        assert!(extraction.model.is_none_or(|model| model == answer.model), "{}", answer.shape);
        assert!(extraction.additional.is_empty(), "{}", answer.shape);
    }
}

#[test]
fn the_form_of_a_stream_makes_no_difference() {
    for answer in answers() {
        let expected = extracted(&answer.api, &answer.json());
        let events: Vec<String> = match (&answer.body, &answer.events) {
            (Some(body), _) => vec![body.get().to_owned()],
            (_, events) => events.iter().flatten().map(|event| event.get().to_owned()).collect(),
        };
        let lines = events.join("\n");
        let sent = events.iter().map(|event| format!("event: message\ndata: {event}\n\n")).collect::<String>();
        for text in
            [lines, format!("{sent}data: [DONE]\n\n"), sent.replace("\n\n", "\r\n\r\n").replace("data: ", "data:")]
        {
            assert_eq!(extracted(&answer.api, &text), expected, "{}", answer.shape);
        }
    }
}

#[test]
fn the_usage_object_alone_bills_the_same_tokens() {
    // Searches of Gemini and OpenAI are told outside the usage object.
    for answer in answers().iter().filter(|answer| answer.events.is_none() && answer.shape != "gemini_search_grounding")
    {
        let body = answer.json();
        let top = crate::extract::json::Object::parse("", &body).unwrap();
        let usage = ["usage", "usageMetadata", "usage_info"].iter().find_map(|key| top.object_if(key));
        let Some(usage) = usage else { continue };
        let usage: BTreeMap<_, _> = usage.kept();
        let usage = serde_json::to_string(&usage).unwrap();
        assert_eq!(extracted(&answer.api, &usage).usage, extracted(&answer.api, &body).usage, "{}", answer.shape);
    }
}

#[test]
fn a_flavor_left_open_is_seen_from_the_answer() {
    for answer in answers() {
        let provider = answer.api.split_once('.').unwrap().0;
        // Annotations of pages and Claude at Google differ from the provider's default by their name or by their fields.
        let open = extracted(provider, &answer.json());
        assert_eq!(disjoint(&open.usage, &open.units), answer.expected(), "{}", answer.shape);
    }
}
