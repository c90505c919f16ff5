package lira.app

import android.content.res.Resources

/** Every sentence that depends on what happened; all of them are resources. */
class Sentences(private val resources: Resources) {
    /** What a running drawing is doing. */
    fun progress(record: Record): String {
        if (record.stage.isEmpty()) return resources.getString(R.string.starting)
        if (record.total == 0) return stage(record.stage)
        return resources.getString(R.string.step_of, stage(record.stage), record.step, record.total)
    }

    /** Seconds and memory by stage, a line each. */
    fun figures(record: Record): String = record.figures.joinToString("\n") {
        val seconds = "%.1f".format(resources.configuration.locales[0], it.seconds)
        resources.getString(R.string.figure, stage(it.stage), seconds, (it.bytes + 999_999) / 1_000_000)
    }

    /** A finished drawing in one line or two. */
    fun done(record: Record): String {
        val done = resources.getString(R.string.done, record.wish.seed.toULong().toString())
        val cut = if (record.dropped.isEmpty()) "" else resources.getString(R.string.cut_notice, shortened(record.dropped))
        return lines(done, cut)
    }

    /** Sentences below each other, without those that say nothing. */
    fun lines(vararg said: String): String = said.filter(String::isNotEmpty).joinToString("\n")

    /** What went wrong, and what would help. */
    fun failed(record: Record): UiState.Failed = when {
        record.status == Status.KILLED -> memory("killed", record)
        record.code == ErrorCodes.TOO_LONG -> failed(record.code, shortened(record.dropped), Remedy.CUT, "bad_input")
        record.code in MEMORY -> memory(if (record.wish.lowMemory) LOW_TOO else record.code, record)
        else -> failed(record.code)
    }

    /** Low memory is offered but where it was not enough. */
    private fun memory(name: String, record: Record): UiState.Failed {
        val remedy = if (record.wish.lowMemory) Remedy.CHOOSE else Remedy.LOW_MEMORY
        return failed(name, stage(record.stage), remedy, record.code)
    }

    /** The sentence of a code; of the app's own reasons the code is a stable one. */
    fun failed(code: String): UiState.Failed {
        val shown = if (code == ErrorCodes.NO_MEMORY_TO_CHECK) "out_of_memory" else if (code in OWN) "bad_input" else code
        return failed(code, "", if (code in NOT_THE_BUNDLE) null else Remedy.CHOOSE, shown)
    }

    private fun failed(name: String, about: String, remedy: Remedy?, code: String = name) =
        UiState.Failed(resources.getString(sentenceOf(name), about), code, remedy)

    private fun sentenceOf(name: String): Int = SENTENCES[name] ?: R.string.error_internal

    private fun stage(name: String): String = STAGES[name]?.let(resources::getString) ?: resources.getString(R.string.starting)

    private fun shortened(text: String) = if (text.length <= MOST_SAID) text else text.take(MOST_SAID) + "…"

    companion object {
        private const val MOST_SAID = 60
        private const val LOW_TOO = "out_of_memory_low"
        private val MEMORY = setOf("out_of_memory", "over_budget")
        private val REQUEST = setOf(ErrorCodes.TOO_LONG, ErrorCodes.EMPTY_PROMPT, ErrorCodes.BAD_SEED, ErrorCodes.NO_PICKER)
        private val OWN = REQUEST + ErrorCodes.NOT_RUNNABLE
        private val STAGES = mapOf(
            "text_encoder" to R.string.stage_text_encoder,
            "denoiser" to R.string.stage_denoiser,
            "decoder" to R.string.stage_decoder,
        )

        /** Those that another bundle would not help. */
        private val NOT_THE_BUNDLE = REQUEST + ErrorCodes.NO_MEMORY_TO_CHECK +
            setOf("bad_input", "disk_full", "not_writable", "io_error", "not_finite", "internal")

        /** Code to sentence; a table, since code that looks resources up by name hides them from the build. */
        val SENTENCES: Map<String, Int> = mapOf(
            "bad_input" to R.string.error_bad_input,
            ErrorCodes.EMPTY_PROMPT to R.string.error_empty_prompt,
            ErrorCodes.TOO_LONG to R.string.error_too_long,
            ErrorCodes.BAD_SEED to R.string.error_bad_seed,
            ErrorCodes.NOT_RUNNABLE to R.string.error_not_runnable,
            ErrorCodes.NO_PICKER to R.string.error_no_picker,
            ErrorCodes.NO_MEMORY_TO_CHECK to R.string.error_no_memory_to_check,
            "no_bundle" to R.string.error_no_bundle,
            "disk_full" to R.string.error_disk_full,
            "not_writable" to R.string.error_not_writable,
            "io_error" to R.string.error_io_error,
            "killed" to R.string.error_killed,
            "out_of_memory" to R.string.error_out_of_memory,
            LOW_TOO to R.string.error_out_of_memory_low,
            "over_budget" to R.string.error_over_budget,
            "not_finite" to R.string.error_not_finite,
            "parity_lost" to R.string.error_parity_lost,
            "not_quantized" to R.string.error_not_quantized,
            "not_delegated" to R.string.error_not_delegated,
            "damaged" to R.string.error_damaged,
            "manifest_missing" to R.string.error_manifest_missing,
            "manifest_unreadable" to R.string.error_manifest_unreadable,
            "manifest_version" to R.string.error_manifest_version,
            "manifest_checksum" to R.string.error_manifest_checksum,
            "manifest_path" to R.string.error_manifest_path,
            "manifest_inconsistent" to R.string.error_manifest_inconsistent,
            "missing" to R.string.error_missing,
            "link" to R.string.error_link,
            "unreadable" to R.string.error_unreadable,
            "wrong_size" to R.string.error_wrong_size,
            "wrong_sha256" to R.string.error_wrong_sha256,
            "extra" to R.string.error_extra,
            "tokenizer_unreadable" to R.string.error_tokenizer_unreadable,
            "tensor_not_finite" to R.string.error_tensor_not_finite,
            "graph_refused" to R.string.error_graph_refused,
            "graph_failed" to R.string.error_graph_failed,
            "contents_differ" to R.string.error_contents_differ,
            "golden_differs" to R.string.error_golden_differs,
            "unsigned" to R.string.error_unsigned,
            "wrong_signature" to R.string.error_wrong_signature,
            "internal" to R.string.error_internal,
        )
    }
}
