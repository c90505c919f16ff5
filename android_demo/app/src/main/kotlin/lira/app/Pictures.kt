package lira.app

import android.content.ClipData
import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.MediaStore
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException

private const val PNG = "image/png"

/** Where a drawn picture goes when it leaves the app. */
class Pictures(private val context: Context) {
    /** Saves a PNG in the gallery, byte for byte: what it says of itself goes with it. Throws IOException, and what a gallery throws. */
    fun save(picture: File, name: String): Uri {
        val values = ContentValues().apply {
            put(MediaStore.MediaColumns.DISPLAY_NAME, name)
            put(MediaStore.MediaColumns.MIME_TYPE, PNG)
            put(MediaStore.MediaColumns.RELATIVE_PATH, "Pictures/LiRA")
            put(MediaStore.MediaColumns.IS_PENDING, 1)
        }
        val resolver = context.contentResolver
        val place = resolver.insert(MediaStore.Images.Media.getContentUri(MediaStore.VOLUME_EXTERNAL_PRIMARY), values)
            ?: throw IOException("the gallery takes no picture")
        try {
            val stream = resolver.openOutputStream(place) ?: throw IOException("the gallery cannot be written to")
            stream.use { out -> picture.inputStream().use { it.copyTo(out) } }
            resolver.update(place, ContentValues().apply { put(MediaStore.MediaColumns.IS_PENDING, 0) }, null, null)
        } catch (error: Exception) { // of another app, which throws what it likes
            runCatching { resolver.delete(place, null, null) }
            throw error
        }
        return place
    }

    /** What shares the last picture with an app that the user chooses. */
    fun share(): Intent {
        val send = Intent(Intent.ACTION_SEND).setType(PNG).putExtra(Intent.EXTRA_STREAM, PictureProvider.URI)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        send.clipData = ClipData.newRawUri(null, PictureProvider.URI)
        return Intent.createChooser(send, context.getString(R.string.share))
    }
}

/** Lets an app that was given permission read the last picture, and nothing else. */
class PictureProvider : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun getType(uri: Uri): String? = if (uri == URI) PNG else null

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (uri != URI || mode != "r") throw FileNotFoundException(uri.toString())
        return ParcelFileDescriptor.open(file(), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor? {
        if (uri != URI) return null
        val values = mapOf<String, Any>(OpenableColumns.DISPLAY_NAME to "lira.png", OpenableColumns.SIZE to file().length())
        val columns = (projection?.toList() ?: values.keys.toList()).filter { it in values }
        return MatrixCursor(columns.toTypedArray()).apply { addRow(columns.map(values::get)) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<String>?): Int = 0

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?): Int = 0

    private fun file(): File = Journal(context!!.filesDir).picture

    companion object {
        val URI: Uri = Uri.parse("content://lira.app.pictures/picture.png")
    }
}
