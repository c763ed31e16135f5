namespace Hypervisor.Engine.Devices.Timers;

/// <summary>
/// How an MC146818 writes time: BCD or binary, 12 or 24 hours, alarms with "don't care". What a guest wrote is never trusted to
/// be a time: fields out of range are brought into it.
/// </summary>
internal static class RtcTime
{
    private const int Seconds = 0, SecondsAlarm = 1, Minutes = 2, MinutesAlarm = 3, Hours = 4, HoursAlarm = 5;
    private const int DayOfWeek = 6, Day = 7, Month = 8, Year = 9, Century = 0x32;
    private const byte Binary = 0x04, TwentyFourHours = 0x02, Afternoon = 0x80;
    private const byte DontCare = 0xC0;
    private const long SecondsPerDay = 86_400;

    // Years outside cannot be written with a century byte of two digits, and DateTime ends at 9999.
    private static readonly DateTime Earliest = new(100, 1, 1, 0, 0, 0, DateTimeKind.Utc);
    private static readonly DateTime Latest = new(9998, 12, 31, 0, 0, 0, DateTimeKind.Utc);

    /// <summary>Brings ticks of <see cref="DateTime"/> into the range that the registers can show.</summary>
    public static DateTime Clamp(long ticks) => new(Math.Clamp(ticks, Earliest.Ticks, Latest.Ticks), DateTimeKind.Utc);

    /// <summary>A register that shows the running time (not an alarm).</summary>
    public static bool IsTimeRegister(int index) =>
        index is Seconds or Minutes or Hours or DayOfWeek or Day or Month or Year or Century;

    /// <summary>The period of register A in nanoseconds; 0 when there is none (MC146818, "Periodic Interrupt Rate").</summary>
    public static long PeriodOf(byte registerA)
    {
        const int DividerMask = 0x60;
        int rate = registerA & 0x0F;
        if (rate == 0 || (registerA & DividerMask) == DividerMask)
        {
            return 0; // no rate, or the divider is held in reset
        }

        // With a 32 kHz crystal the two fastest rates are the same as rates 8 and 9.
        int shift = rate <= 2 ? rate + 6 : rate - 1;
        return (1_000_000_000L << shift) / 32_768;
    }

    /// <summary>Writes a time into the registers.</summary>
    public static void Store(DateTime time, Span<byte> memory, byte registerB)
    {
        memory[Seconds] = Encode(time.Second, registerB);
        memory[Minutes] = Encode(time.Minute, registerB);
        memory[Hours] = EncodeHour(time.Hour, registerB);
        memory[DayOfWeek] = Encode((int)time.DayOfWeek + 1, registerB);
        memory[Day] = Encode(time.Day, registerB);
        memory[Month] = Encode(time.Month, registerB);
        memory[Year] = Encode(time.Year % 100, registerB);
        memory[Century] = Encode(time.Year / 100, registerB);
    }

    /// <summary>The time that the registers say.</summary>
    public static DateTime Load(ReadOnlySpan<byte> memory, byte registerB)
    {
        int year = Math.Clamp((Decode(memory[Century], registerB) * 100) + Math.Min(Decode(memory[Year], registerB), 99), Earliest.Year, Latest.Year);
        int month = Math.Clamp(Decode(memory[Month], registerB), 1, 12);
        int day = Math.Clamp(Decode(memory[Day], registerB), 1, DateTime.DaysInMonth(year, month));
        int hour = Math.Min(DecodeHour(memory[Hours], registerB), 23);
        int minute = Math.Min(Decode(memory[Minutes], registerB), 59);
        int second = Math.Min(Decode(memory[Seconds], registerB), 59);
        return new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc);
    }

    /// <summary>Whether the alarm matched at a second after <paramref name="from"/> and not after <paramref name="to"/>.</summary>
    public static bool AlarmBetween(DateTime from, DateTime to, ReadOnlySpan<byte> memory, byte registerB)
    {
        // The alarm has no date: a day's worth of seconds says it all.
        long last = to.Ticks / TimeSpan.TicksPerSecond;
        long first = Math.Max((from.Ticks / TimeSpan.TicksPerSecond) + 1, last - SecondsPerDay + 1);
        int second = AlarmField(memory[SecondsAlarm], Decode(memory[SecondsAlarm], registerB));
        int minute = AlarmField(memory[MinutesAlarm], Decode(memory[MinutesAlarm], registerB));
        int hour = AlarmField(memory[HoursAlarm], DecodeHour(memory[HoursAlarm], registerB));
        for (long moment = first; moment <= last; moment++)
        {
            int ofDay = (int)(moment % SecondsPerDay);
            if ((second < 0 || second == ofDay % 60) && (minute < 0 || minute == ofDay / 60 % 60) && (hour < 0 || hour == ofDay / 3600))
            {
                return true;
            }
        }

        return false;
    }

    private static int AlarmField(byte raw, int decoded) => raw >= DontCare ? -1 : decoded;

    private static byte Encode(int value, byte registerB) =>
        (byte)((registerB & Binary) != 0 ? value : ((value / 10) << 4) | (value % 10));

    private static int Decode(byte value, byte registerB) =>
        (registerB & Binary) != 0 ? value : ((value >> 4) * 10) + (value & 15);

    private static byte EncodeHour(int hour, byte registerB)
    {
        if ((registerB & TwentyFourHours) != 0)
        {
            return Encode(hour, registerB);
        }

        int twelve = hour % 12 == 0 ? 12 : hour % 12;
        return (byte)(Encode(twelve, registerB) | (hour >= 12 ? Afternoon : 0));
    }

    private static int DecodeHour(byte value, byte registerB)
    {
        if ((registerB & TwentyFourHours) != 0)
        {
            return Decode(value, registerB);
        }

        int twelve = Decode((byte)(value & 0x7F), registerB) % 12;
        return twelve + ((value & Afternoon) != 0 ? 12 : 0);
    }
}
