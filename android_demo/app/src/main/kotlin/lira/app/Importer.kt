package lira.app

import android.content.Context
import android.net.Uri
import android.os.Handler
import android.os.Looper
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import java.io.FileNotFoundException
import java.io.InputStream
import java.util.concurrent.Executors
import lira.core.Cancelled

/** Brings a bundle in from a folder that the user chose in the system's picker. Outlives the screen: it is the app's. */
class Importer(private val context: Context, private val store: BundleStore) {
    private val thread = Executors.newSingleThreadExecutor()
    private val main = Handler(Looper.getMainLooper())

    @Volatile
    private var cancelled = false

    /** What goes on; null where nothing does. Read and set on the main thread. */
    var state: UiState.Importing? = null
        private set

    /** The code of the last import, null where it went well; until a screen has read it. */
    private var outcome: Outcome? = null

    /** Called on the main thread with every change. */
    var listener: (() -> Unit)? = null

    /** How an import ended: [code] is null where the bundle is in place. */
    class Outcome(val code: String?)

    fun takeOutcome(): Outcome? = outcome.also { outcome = null }

    fun cancel() {
        cancelled = true
    }

    /** Copies from a document tree. */
    fun start(tree: Uri) {
        begin { Source(filesOf(tree)) }
    }

    /** Copies from anything. */
    fun begin(source: () -> Source) {
        if (state != null) return
        cancelled = false
        state = UiState.Importing(0, 0)
        listener?.invoke()
        thread.execute {
            val code = try {
                store.take(source()) { done, total ->
                    if (cancelled) throw Cancelled()
                    main.post { changed(UiState.Importing(done, total)) }
                }
                null
            } catch (error: OutOfMemoryError) {
                ErrorCodes.NO_MEMORY_TO_CHECK
            } catch (error: StackOverflowError) { // folders without end
                ErrorCodes.of(error)
            } catch (error: Exception) {
                ErrorCodes.of(error)
            }
            main.post {
                outcome = Outcome(code)
                changed(null)
            }
        }
    }

    private fun changed(next: UiState.Importing?) {
        state = next
        listener?.invoke()
    }

    private fun filesOf(tree: Uri): Map<String, () -> InputStream> {
        val files = HashMap<String, () -> InputStream>()
        collect(tree, DocumentsContract.getTreeDocumentId(tree), "", files)
        return files
    }

    private fun collect(tree: Uri, id: String, prefix: String, files: MutableMap<String, () -> InputStream>) {
        val children = DocumentsContract.buildChildDocumentsUriUsingTree(tree, id)
        val columns = arrayOf(Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE)
        val cursor = context.contentResolver.query(children, columns, null, null, null)
            ?: throw FileNotFoundException("the folder cannot be listed")
        cursor.use {
            while (cursor.moveToNext() && files.size < MOST_FILES) {
                val child = cursor.getString(0)
                val name = prefix + cursor.getString(1)
                if (cursor.getString(2) == Document.MIME_TYPE_DIR) {
                    collect(tree, child, "$name/", files)
                } else {
                    val uri = DocumentsContract.buildDocumentUriUsingTree(tree, child)
                    files[name] = {
                        context.contentResolver.openInputStream(uri) ?: throw FileNotFoundException(name)
                    }
                }
            }
        }
    }

    private companion object {
        /** A folder with more is not a bundle's; nobody waits for the whole of a card. */
        const val MOST_FILES = 1000
    }
}
