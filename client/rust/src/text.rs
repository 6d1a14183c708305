//! Counting text, where the provider reports no tokens.

use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};
use tollgate_proto::v1::usage_event::Usage;
use tollgate_proto::v1::{self, UsageQuality};

use crate::check::CheckRequest;
use crate::count::count;
use crate::event::UsageEventBuilder;

/// How many tokens `text` is, by the tokenizer of `model`.
///
/// Models that the tokenizer library does not know are counted as GPT-4o and later are (`o200k_base`): exact for OpenAI's
/// newer models, an estimate for those of others, whose tokenizers differ by some ten per cent. What a provider adds to a
/// request (roles, tools, templates) is not in the text and not counted.
pub fn count_tokens(model: &str, text: &str) -> u64 {
    let id = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let tokenizer = get_tokenizer(&id).unwrap_or(Tokenizer::O200kBase);
    match tiktoken_rs::bpe_for_tokenizer(tokenizer) {
        Ok(vocabulary) => u64::try_from(vocabulary.count_ordinary(text)).unwrap_or(u64::MAX),
        // The vocabularies are part of the binary; were one broken, four bytes a token is OpenAI's own rule of thumb.
        Err(_) => u64::try_from(text.len().div_ceil(4)).unwrap_or(u64::MAX),
    }
}

impl UsageEventBuilder {
    /// Counts `input` and `output` where the provider reported no tokens for that side, and marks the counts as estimated.
    /// Counts that are there, and a provider's own usage object, stay as they are.
    pub fn estimate_missing(self, input: &str, output: &str) -> Self {
        if matches!(self.reported(), Some(Usage::ProviderUsage(_))) {
            return self;
        }
        let model = self.model_id().to_owned();
        self.change_tokens(|tokens| {
            let missing = tokens.total_input_tokens.is_none() || tokens.total_output_tokens.is_none();
            fill(&mut tokens.total_input_tokens, &model, input);
            fill(&mut tokens.total_output_tokens, &model, output);
            if missing {
                tokens.quality = UsageQuality::Estimated.into();
            }
        })
    }
}

fn fill(tokens: &mut Option<i64>, model: &str, text: &str) {
    tokens.get_or_insert_with(|| count(count_tokens(model, text)));
}

impl CheckRequest {
    /// The input tokens, counted in the text that will be sent.
    pub fn input_text(self, text: &str) -> Self {
        let tokens = count_tokens(&self.model_id(), text);
        self.input_tokens(tokens)
    }

    fn model_id(&self) -> String {
        let request: v1::CheckBudgetRequest = self.clone().into_proto();
        request.model.map(|model| model.model).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Tokens};

    #[test]
    fn text_is_counted_by_the_models_tokenizer() {
        let text = "The quick brown fox jumps over the lazy dog.";
        for model in ["gpt-4o", "gpt-4o-2024-08-06", "gpt-5", "gpt-6.1-sol", "openai/gpt-5-mini", "claude-opus-5"] {
            assert_eq!(count_tokens(model, text), 10, "{model}");
        }
        // The older vocabulary splits this differently: the tokenizer is the model's, not one for all.
        let german = "Donaudampfschifffahrtsgesellschaft";
        assert_ne!(count_tokens("gpt-4", german), count_tokens("gpt-4o", german));
        assert_eq!(count_tokens("gpt-4o", ""), 0);
        assert!(count_tokens("gpt-4o", &"a b ".repeat(50_000)) > 50_000, "long texts are counted in full");
    }

    #[test]
    fn only_what_the_provider_did_not_report_is_estimated() {
        let tokens = |event: UsageEventBuilder| match v1::UsageEvent::from(event).usage {
            Some(Usage::Tokens(tokens)) => tokens,
            other => panic!("{other:?}"),
        };
        let event = || Event::chat("openai", "gpt-4o");
        let both = tokens(event().estimate_missing("one two three", "four"));
        assert_eq!((both.total_input_tokens, both.total_output_tokens), (Some(3), Some(1)));
        assert_eq!(both.quality(), UsageQuality::Estimated);
        let one = tokens(event().usage(Tokens::unreported().output(0)).estimate_missing("one two three", "four"));
        assert_eq!((one.total_input_tokens, one.total_output_tokens), (Some(3), Some(0)), "0 was reported");
        assert_eq!(one.quality(), UsageQuality::Estimated);
        let none = tokens(event().tokens(7, 8).estimate_missing("one two three", "four"));
        assert_eq!((none.total_input_tokens, none.total_output_tokens), (Some(7), Some(8)));
        assert_eq!(none.quality(), UsageQuality::Reported);
        let provider = event().provider_usage("openai.chat", "{}").estimate_missing("one", "two");
        assert!(matches!(v1::UsageEvent::from(provider).usage, Some(Usage::ProviderUsage(_))));
    }

    #[test]
    fn a_check_counts_what_will_be_sent() {
        let request = CheckRequest::peek(("openai", "gpt-4o")).input_text("one two three").into_proto();
        assert_eq!(request.estimate.unwrap().input_tokens, Some(3));
    }
}
