-- What a window took over from the one before it, decided once, when its counter was made; and what it was computed from.
ALTER TABLE budget_window
    ADD COLUMN carried numeric(28,12) NOT NULL DEFAULT 0,
    ADD COLUMN carried_from jsonb;
