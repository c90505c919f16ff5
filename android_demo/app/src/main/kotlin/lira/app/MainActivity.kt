package lira.app

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.os.Build
import android.os.Bundle
import java.io.IOException
import java.util.Random
import lira.core.LiRAException
import lira.core.isBlank

/**
 * The one screen. It keeps nothing of a drawing itself: the service and its journal do, and the controls lie in the
 * preferences, so a rotation, the end of this process and that of the drawing's lose nothing.
 */
class MainActivity : Activity() {
    private val app get() = application as LiRAApp
    private val preferences by lazy { getSharedPreferences("controls", MODE_PRIVATE) }
    private val journal by lazy { Journal(filesDir) }
    private val client = DrawClient(this, ::heard)
    private val sentences by lazy { Sentences(resources) }
    private lateinit var screen: Screen
    private var record = Record()
    private var preview: Bitmap? = null

    /** A failure's code, or [SAVED], that is no drawing's; until something else happens. */
    private var said: String? = null
    private var hasBundle = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        screen = Screen(requireViewById(R.id.scroll))
        screen.setWish(Record.of { preferences.getString(it, null) }.wish)
        record = journal.read()
        said = state?.getString(SAID)
        screen.choose.setOnClickListener { choose() }
        screen.dice.setOnClickListener { screen.setSeed(Random().nextInt(Int.MAX_VALUE).toLong()) }
        screen.draw.setOnClickListener { draw(cut = false) }
        screen.cancel.setOnClickListener { if (app.importer.state != null) app.importer.cancel() else client.cancel() }
        screen.save.setOnClickListener { save() }
        screen.share.setOnClickListener { startActivity(Pictures(this).share()) }
        readBundle()
    }

    override fun onStart() {
        super.onStart()
        app.importer.listener = ::imported
        client.bind()
        imported()
    }

    override fun onStop() {
        client.unbind()
        app.importer.listener = null
        super.onStop()
    }

    override fun onPause() {
        keepControls()
        super.onPause()
    }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putString(SAID, said)
    }

    private fun keepControls() {
        val wish = screen.wish() ?: return
        val editor = preferences.edit()
        Record(wish = wish).toMap().forEach { (key, text) -> editor.putString(key, text) }
        editor.apply()
    }

    private fun choose() = try {
        startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), CHOOSE)
    } catch (none: ActivityNotFoundException) {
        say(ErrorCodes.NO_PICKER)
    }

    @Deprecated("of the framework; its successor is androidx's")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val tree = data?.data
        if (request == CHOOSE && result == RESULT_OK && tree != null) app.importer.start(tree)
    }

    private fun imported() {
        app.importer.takeOutcome()?.let { outcome ->
            said = outcome.code?.takeIf { it != "interrupted" }
            readBundle()
        }
        render()
    }

    private fun readBundle() {
        val bundle = try {
            app.store.open()
        } catch (error: LiRAException) {
            null.also { said = ErrorCodes.of(error) }
        } catch (error: IOException) {
            null.also { said = ErrorCodes.of(error) }
        }
        hasBundle = bundle != null
        screen.showBundle(bundle)
    }

    private fun draw(cut: Boolean) {
        val wish = screen.wish()?.copy(cut = cut)
        val code = when {
            !hasBundle -> "no_bundle"
            wish == null -> ErrorCodes.BAD_SEED
            isBlank(wish.prompt) -> ErrorCodes.EMPTY_PROMPT
            else -> null
        }
        if (code != null || wish == null) {
            return say(code ?: ErrorCodes.BAD_SEED)
        }
        keepControls()
        askToNotify()
        said = null
        client.draw(wish)
        heard(Record(Status.RUNNING, wish), null)
    }

    private fun heard(next: Record, picture: Bitmap?) {
        if (next.status == Status.RUNNING) said = null
        preview = picture ?: preview?.takeIf { next.status == Status.RUNNING && record.status == Status.RUNNING }
        record = next
        render()
    }

    private fun say(what: String) {
        said = what
        render()
    }

    private fun render() {
        val failed = said?.takeIf { it != SAVED }?.let(sentences::failed)
        val state = app.importer.state ?: failed?.copy(picture = journal.drawn()) ?: stateOf(record)
        screen.show(state)
        if (state is UiState.Failed) screen.remedy.setOnClickListener { help(state.remedy) }
    }

    private fun stateOf(record: Record): UiState {
        if (record.status == Status.RUNNING) return UiState.Drawing(record, preview)
        val picture = journal.drawn()
        val note = if (said == SAVED) getString(R.string.saved) else ""
        return when (record.status) {
            Status.DONE -> picture?.let { UiState.Done(it, record, note) } ?: UiState.Empty(hasBundle, note, null)
            Status.CANCELLED -> UiState.Empty(hasBundle, sentences.lines(getString(R.string.cancelled), note), picture)
            Status.FAILED, Status.KILLED -> sentences.failed(record).copy(note = note, picture = picture)
            else -> UiState.Empty(hasBundle, note, picture)
        }
    }

    private fun help(remedy: Remedy?) {
        when (remedy) {
            Remedy.LOW_MEMORY -> {
                screen.setLowMemory(true)
                draw(cut = record.wish.cut)
            }
            Remedy.CUT -> draw(cut = true)
            Remedy.CHOOSE -> choose()
            null -> Unit
        }
    }

    private fun save() {
        val picture = journal.drawn() ?: return
        val code = try {
            Pictures(this).save(picture.file, "lira-${picture.seed}.png")
            SAVED
        } catch (error: Exception) { // the gallery is another app, which throws what it likes
            if (ErrorCodes.of(error) == "disk_full") "disk_full" else "not_writable"
        }
        say(code)
    }

    private fun askToNotify() {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.TIRAMISU) return
        val permission = Manifest.permission.POST_NOTIFICATIONS
        if (checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) requestPermissions(arrayOf(permission), 0)
    }

    private companion object {
        const val CHOOSE = 1
        const val SAID = "said"
        const val SAVED = "saved"
    }
}
