-- A batch is one statement, which has to fail as a whole when it did not write what it was to write.
CREATE FUNCTION expect_rows(what text, expected bigint, written bigint) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF written <> expected THEN
        RAISE EXCEPTION '%: % of % rows written', what, written, expected;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION expect_rows IS 'True, or an error when another number of rows was written than expected';
