#!/bin/sh
# Links a debug APK after `mvn -f android_demo verify`, without Google's tools: dx from Maven Central; zip, zipalign and
# apksigner from Debian. ONNX Runtime's native code is in Google's AAR alone, so this APK shows its screen but cannot draw:
# it is for looking at. Gradle builds the one to use.
set -eu
cd "$(dirname "$0")/app"
work=target/apk
rm -rf "$work"
mkdir -p "$work/classes"
mvn -B -q dependency:copy -Dartifact=com.jakewharton.android.repackaged:dalvik-dx:11.0.0_r3 -DoutputDirectory="$work"
for artifact in org.jetbrains.kotlin:kotlin-stdlib:2.3.0 com.microsoft.onnxruntime:onnxruntime:1.22.0; do
    mvn -B -q dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work"
done
for jar in "$work"/kotlin-stdlib-*.jar "$work"/onnxruntime-*.jar; do
    unzip -qo "$jar" '*.class' -x 'META-INF/*' module-info.class -d "$work/classes" || true # 11: nothing to leave out
done
cp -r target/classes/lira ../core/target/classes/lira "$work/classes/"
java -Xmx1g -cp "$work"/dalvik-dx-*.jar com.android.dx.command.Main --dex --min-sdk-version=29 \
    --output="$work/classes.dex" "$work/classes"
cp target/linked/resources.apk "$work/unaligned.apk"
zip -qj "$work/unaligned.apk" "$work/classes.dex"
zipalign -f 4 "$work/unaligned.apk" "$work/lira-debug.apk"
keytool -genkeypair -keystore "$work/debug.keystore" -storepass android -alias debug -keypass android -keyalg RSA \
    -validity 10000 -dname "CN=Android Debug" 2>/dev/null
apksigner sign --ks "$work/debug.keystore" --ks-pass pass:android "$work/lira-debug.apk"
apksigner verify --verbose "$work/lira-debug.apk"
target/tools/prebuilt/linux/aapt2_64 dump badging "$work/lira-debug.apk"
